internal import COpenCL

/// The home of buffers, programs and queues on one device.
///
/// Sendable without being checked: OpenCL contexts may be used from any thread and nothing here changes.
public final class Context: @unchecked Sendable {
  /// The context's only device.
  public let device: Device

  /// Where its programs are looked for and kept.
  public let programCache: ProgramCache

  let handle: Handle<HandleKind.Context>

  /// Opens a device.
  ///
  /// - Parameter programCache: Where its programs are looked for and kept.
  /// - Throws: `OpenCLError`; with `.invalidDevice` if the device is older than OpenCL 1.2, because calling newer
  ///   functions of its driver would crash.
  public init(_ device: Device, programCache: ProgramCache = .standard) throws(OpenCLError) {
    let call = "clCreateContext"
    guard device.info.supportsOpenCL12 else {
      throw OpenCLError(
        call: call, status: .invalidDevice, device: device.name,
        detail: "it implements \(device.info.deviceVersion), and 1.2 is needed")
    }
    PoCLDefects.avoid(on: device.info)
    let properties: [cl_context_properties] = [
      cl_context_properties(CL_CONTEXT_PLATFORM), Int(bitPattern: device.platform.raw), 0,
    ]
    var identifier: cl_device_id? = device.handle.raw
    var status: cl_int = 0
    let raw = clCreateContext(properties, 1, &identifier, nil, nil, &status)
    self.device = device
    self.programCache = programCache
    self.handle = Handle(raw: try created(raw, status, call, device: device))
  }

  deinit {
    clReleaseContext(handle.raw)
  }
}
