internal import COpenCL

/// A queue of commands to a device, executed in the order they were given.
///
/// Sendable without being checked: OpenCL's functions on queues may be called from any thread and nothing here changes.
/// Threads that share a queue must agree on the order of their commands themselves.
public final class CommandQueue: @unchecked Sendable {
  /// The context whose buffers and kernels the queue works with.
  public let context: Context

  /// Whether the queue keeps the times of its commands.
  public let isProfiling: Bool

  let handle: Handle<HandleKind.CommandQueue>

  /// The device that executes the commands.
  public var device: Device { context.device }

  /// Makes a queue.
  ///
  /// - Parameter profiling: whether to keep the times of commands; on some devices that costs some speed.
  public init(_ context: Context, profiling: Bool = false) throws(OpenCLError) {
    var status: cl_int = 0
    let properties = profiling ? cl_command_queue_properties(CL_QUEUE_PROFILING_ENABLE) : 0
    // The 1.2 function: the one that follows it does not exist in 1.2 drivers.
    let raw = clCreateCommandQueue(context.handle.raw, context.device.handle.raw, properties, &status)
    self.context = context
    self.isProfiling = profiling
    self.handle = Handle(raw: try created(raw, status, "clCreateCommandQueue", device: context.device))
  }

  deinit {
    // Releasing starts what was not yet started; whoever wanted to know how it ends has an event.
    clReleaseCommandQueue(handle.raw)
  }

  /// Makes an event of what an enqueue call answered.
  func event(_ raw: cl_event?, _ status: cl_int, _ call: String, label: String, _ detail: @autoclosure () -> String?)
    throws(OpenCLError) -> Event
  {
    let raw = try created(raw, status, call, device: device, detail())
    return Event(adopting: Handle(raw: raw), label: label, queue: self)
  }

  /// Throws if a buffer or kernel belongs to another context, which OpenCL's own message would not name.
  func checkContext(_ other: Context, _ call: String) throws(OpenCLError) {
    guard other === context else {
      throw OpenCLError(
        call: call, status: .invalidContext, device: device.name,
        detail: "the object belongs to another context, on \(other.device)")
    }
  }
}
