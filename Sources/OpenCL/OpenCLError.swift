/// A failed OpenCL call: which call, what it answered, on which device, and what it was about.
///
/// Requests that cannot be right, such as a transfer beyond the end of a buffer, are refused before the call with the
/// status OpenCL has for them, so that both are handled in one way.
public struct OpenCLError: Error, Sendable, Hashable {
  /// The name of the OpenCL function, such as "clBuildProgram".
  public let call: String

  /// What it answered.
  public let status: OpenCLStatus

  /// The name of the device, if the call was about one.
  public let device: String?

  /// What the call was about: a kernel, an argument, sizes in bytes.
  public let detail: String?

  /// The compiler's log, of a failed build.
  public let log: String?

  /// Makes an error of its parts.
  public init(call: String, status: OpenCLStatus, device: String? = nil, detail: String? = nil, log: String? = nil) {
    self.call = call
    self.status = status
    self.device = device
    self.detail = detail
    self.log = log
  }
}

extension OpenCLError {
  /// Whether memory was short, on the device or the host: smaller pieces may succeed.
  public var isOutOfMemory: Bool {
    switch status {
    case .memObjectAllocationFailure, .outOfResources, .outOfHostMemory, .invalidBufferSize: true
    default: false
    }
  }

  /// Whether a kernel was too large for the work-groups that it was to run in; some drivers find out only then.
  public var isKernelTooLarge: Bool {
    call == "clEnqueueNDRangeKernel" && [.invalidWorkGroupSize, .invalidWorkItemSize, .outOfResources].contains(status)
  }

  /// Whether a program could not be compiled or linked; `log` says why if the driver does.
  public var isBuildFailure: Bool {
    switch status {
    case .buildProgramFailure, .compileProgramFailure, .linkProgramFailure, .invalidBuildOptions,
      .invalidCompilerOptions, .invalidLinkerOptions, .compilerNotAvailable, .linkerNotAvailable:
      true
    default: false
    }
  }
}

extension OpenCLError: CustomStringConvertible {
  /// One line, such as "clEnqueueWriteBuffer: CL_INVALID_VALUE on llvmpipe: 8 bytes at 4 of a buffer of 8 bytes",
  /// and the compiler's log below it if there is one.
  public var description: String {
    var line = "\(call): \(status)"
    if let device { line += " on \(device)" }
    if let detail { line += ": \(detail)" }
    if let log { line += "\n\(log)" }
    return line
  }
}
