internal import COpenCL

/// Throws what a call answered, unless that is success.
func check(
  _ status: cl_int, _ call: String, device: Device, _ detail: @autoclosure () -> String? = nil
) throws(OpenCLError) {
  guard status == CL_SUCCESS else {
    throw OpenCLError(call: call, status: OpenCLStatus(rawValue: status), device: device.name, detail: detail())
  }
}

/// The object a call made, or what the call answered.
///
/// A driver that answers success and no object has nothing we could use either: that is `CL_OUT_OF_RESOURCES`.
func created(
  _ raw: OpaquePointer?, _ status: cl_int, _ call: String, device: Device,
  _ detail: @autoclosure () -> String? = nil
) throws(OpenCLError) -> OpaquePointer {
  try check(status, call, device: device, detail())
  guard let raw else {
    throw OpenCLError(call: call, status: .outOfResources, device: device.name, detail: detail())
  }
  return raw
}

/// Gives events to a call as the number and the list it expects: none is 0 and NULL.
func withWaitList(
  _ events: [Event], _ body: (cl_uint, UnsafePointer<cl_event?>?) -> cl_int
) -> cl_int {
  guard !events.isEmpty else { return body(0, nil) }
  let raw: [cl_event?] = events.map { $0.handle.raw }
  let status = raw.withUnsafeBufferPointer { body(cl_uint(clamping: $0.count), $0.baseAddress) }
  // The list holds addresses only: without this an event could be released before the call has seen it.
  withExtendedLifetime(events) {}
  return status
}
