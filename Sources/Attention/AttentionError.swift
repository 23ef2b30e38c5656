import OpenCL

/// What can go wrong when attention is asked for or computed.
public enum AttentionError: Error, Sendable, Equatable {
  /// Something the caller gave does not fit: which argument, what it was, and what was expected.
  case invalid(argument: String, found: String, expected: String)

  /// No device answers to what was asked for.
  case noDevice(requested: String, available: [String])

  /// A device cannot do the work, and why.
  case cannotRun(device: String, reason: String)

  /// The host has no memory for an array of this size.
  case outOfMemory(bytes: Int)

  /// A cache has no more blocks; nothing has changed.
  case outOfBlocks(needed: Int, available: Int)

  /// An OpenCL call failed.
  case openCL(OpenCLError)
}

extension AttentionError: CustomStringConvertible {
  /// One line: what was found and what was expected. (A failed build adds the compiler's log below it.)
  public var description: String {
    switch self {
    case .invalid(let argument, let found, let expected): "\(argument): expected \(expected), found \(found)"
    case .noDevice(let requested, let available):
      "no device matches '\(requested)'; "
        + (available.isEmpty ? "there is no OpenCL device" : "there are: \(available.joined(separator: ", "))")
    case .cannotRun(let device, let reason): "\(device) cannot do this: \(reason)"
    case .outOfMemory(let bytes): "the host has no memory for an array of \(bytes) bytes"
    case .outOfBlocks(let needed, let available):
      "the cache is full: \(needed) blocks are needed, \(available) are free; nothing was changed"
    case .openCL(let error): "\(error)"
    }
  }
}
