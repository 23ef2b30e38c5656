internal import COpenCL

/// A command given to a queue, to be waited for.
///
/// Releasing an event does not stop the command. Sendable without being checked: OpenCL's functions on events may be
/// called from any thread and nothing here changes.
public final class Event: @unchecked Sendable {
  /// What the command does: "kernel softmax", "clEnqueueWriteBuffer".
  public let label: String

  let handle: Handle<HandleKind.Event>
  private let queue: CommandQueue

  init(adopting handle: Handle<HandleKind.Event>, label: String, queue: CommandQueue) {
    self.handle = handle
    self.label = label
    self.queue = queue
  }

  deinit {
    clReleaseEvent(handle.raw)
  }
}

// MARK: - Waiting

extension Event {
  /// Returns once the command is complete. Starts the queue's commands if they were not yet.
  ///
  /// - Throws: `OpenCLError` with what the device answered if the command failed.
  public func wait() throws(OpenCLError) {
    try Event.wait(for: [self])
  }

  /// Returns once all commands are complete. An empty list is complete.
  ///
  /// The events must belong to one context.
  ///
  /// - Throws: `OpenCLError` of the first in the list that failed.
  public static func wait(for events: [Event]) throws(OpenCLError) {
    guard let first = events.first else { return }
    let status = withWaitList(events) { clWaitForEvents($0, $1) }
    // A failed command makes the call answer only that one failed, on some drivers not even that: ask each for more.
    for event in events { _ = try event.isComplete }
    try check(status, "clWaitForEvents", device: first.queue.device, first.label)
  }

  /// Whether the command is complete, without waiting.
  ///
  /// - Throws: `OpenCLError` with what the device answered if the command failed.
  public var isComplete: Bool {
    get throws(OpenCLError) {
      var query = Query(call: "clGetEventInfo")
      query.device = queue.device.name
      let state = try query.value("CL_EVENT_COMMAND_EXECUTION_STATUS", cl_int(0)) { room, place, length in
        clGetEventInfo(handle.raw, cl_event_info(CL_EVENT_COMMAND_EXECUTION_STATUS), room, place, length)
      }
      guard state >= 0 else {
        throw OpenCLError(
          call: "clWaitForEvents", status: OpenCLStatus(rawValue: state), device: queue.device.name, detail: label)
      }
      return state == CL_COMPLETE
    }
  }
}

// MARK: - Times

extension Event {
  /// When a command passed its stages, in nanoseconds of the device's clock.
  public struct Times: Sendable, Hashable {
    /// When it was given to the queue.
    public let queued: UInt64
    /// When the queue gave it to the device.
    public let submitted: UInt64
    /// When the device began.
    public let started: UInt64
    /// When the device was done.
    public let ended: UInt64

    /// From begin to end on the device, in seconds; 0 if the clock went backwards.
    public var executionSeconds: Double { ended > started ? Double(ended - started) * 1e-9 : 0 }
  }

  /// The times of a complete command of a queue that keeps them.
  ///
  /// - Throws: `OpenCLError` with `.profilingInfoNotAvailable` if the queue keeps none or the command is not complete.
  public func times() throws(OpenCLError) -> Times {
    // rusticl answers zeros instead of an error.
    guard queue.isProfiling else {
      throw OpenCLError(
        call: "clGetEventProfilingInfo", status: .profilingInfoNotAvailable, device: queue.device.name,
        detail: "\(label): its queue keeps no times")
    }
    return Times(
      queued: try time("CL_PROFILING_COMMAND_QUEUED", CL_PROFILING_COMMAND_QUEUED),
      submitted: try time("CL_PROFILING_COMMAND_SUBMIT", CL_PROFILING_COMMAND_SUBMIT),
      started: try time("CL_PROFILING_COMMAND_START", CL_PROFILING_COMMAND_START),
      ended: try time("CL_PROFILING_COMMAND_END", CL_PROFILING_COMMAND_END))
  }

  private func time(_ property: String, _ name: Int32) throws(OpenCLError) -> UInt64 {
    var query = Query(call: "clGetEventProfilingInfo")
    query.device = queue.device.name
    return try query.value("\(property) of \(label)", cl_ulong(0)) { room, place, length in
      clGetEventProfilingInfo(handle.raw, cl_profiling_info(name), room, place, length)
    }
  }
}
