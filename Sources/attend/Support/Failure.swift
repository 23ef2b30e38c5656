import Attention
import OpenCL
import TensorFiles

/// How the program ends; fixed by its contract.
enum ExitStatus: Int32, Comparable {
  case success = 0
  case checkFailed = 1
  case badInput = 2
  case noDevice = 3

  static func < (left: ExitStatus, right: ExitStatus) -> Bool { left.rawValue < right.rawValue }
}

/// What went wrong, in lines for stderr, and the status to leave with.
struct Failure: Error {
  let status: ExitStatus
  let messages: [String]
  /// What stands before each message.
  var prefix = "attend: "

  init(_ status: ExitStatus, _ messages: String...) {
    self.status = status
    self.messages = messages
  }

  /// Wrong usage; the message says "Error:" itself.
  init(usage message: String) {
    self.init(.badInput, message)
    prefix = ""
  }

  init(_ error: any Error) {
    if let failure = error as? Failure {
      self = failure
    } else {
      self.init(Self.status(of: error), "\(error)")
    }
  }

  private static func status(of error: any Error) -> ExitStatus {
    switch error {
    case AttentionError.invalid: .badInput
    case is AttentionError, is OpenCLError: .noDevice
    default: .badInput
    }
  }
}
