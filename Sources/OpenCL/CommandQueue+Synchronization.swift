internal import COpenCL

extension CommandQueue {
  /// Sees to it that the commands given so far will be executed, without waiting for them.
  public func flush() throws(OpenCLError) {
    try check(clFlush(handle.raw), "clFlush", device: device)
  }

  /// Returns once all commands given so far are complete.
  ///
  /// Whether a command failed is only known for sure from its event: drivers differ in what they answer here.
  public func finish() throws(OpenCLError) {
    try check(clFinish(handle.raw), "clFinish", device: device)
  }

  /// A command that does nothing, complete when `events` are, or, if there are none, when everything before it is.
  @discardableResult
  public func enqueueMarker(waitingFor events: [Event] = []) throws(OpenCLError) -> Event {
    try enqueueMarker(label: "marker", waitingFor: events)
  }

  /// A command that holds back those after it until `events` are complete, or, if there are none, until everything
  /// before it is.
  @discardableResult
  public func enqueueBarrier(waitingFor events: [Event] = []) throws(OpenCLError) -> Event {
    let call = "clEnqueueBarrierWithWaitList"
    var raw: cl_event?
    let status = withWaitList(events) { clEnqueueBarrierWithWaitList(handle.raw, $0, $1, &raw) }
    return try event(raw, status, call, label: "barrier", nil)
  }

  /// A marker under another name: what stands for a command that has nothing to do.
  func enqueueMarker(label: String, waitingFor events: [Event]) throws(OpenCLError) -> Event {
    let call = "clEnqueueMarkerWithWaitList"
    var raw: cl_event?
    let status = withWaitList(events) { clEnqueueMarkerWithWaitList(handle.raw, $0, $1, &raw) }
    return try event(raw, status, call, label: label, nil)
  }
}
