/// How one result of a case compares with what is expected of it.
public struct CaseCheck: Sendable, Equatable {
  public enum Outcome: Sendable, Equatable {
    /// Every element is within the bound.
    case passed
    /// It is not, and why.
    case failed(String)
    /// There was nothing to compare, and why: the case does not ask for this result.
    case notChecked(String)
  }

  /// The result's name in files: `output`, `log_sum_exp`, `top_keys`, …
  public let name: String
  public let outcome: Outcome

  /// The largest error: absolute for `output`, `weights` and `top_weights`, over `max(1, |expected|)` for `log_sum_exp`,
  /// `scores` and `received`; infinite where one side is NaN or infinite and the other is not the same. `nil` where no
  /// number was compared: for `top_keys` too, which are the same or not.
  public let maximumError: Double?

  /// What the error may come to, in the same terms.
  public let bound: Double?

  /// The first element past the bound: its index in each dimension.
  public let firstFailure: [Int]?

  public init(
    name: String, outcome: Outcome, maximumError: Double? = nil, bound: Double? = nil, firstFailure: [Int]? = nil
  ) {
    self.name = name
    self.outcome = outcome
    self.maximumError = maximumError
    self.bound = bound
    self.firstFailure = firstFailure
  }

  /// Whether elements were compared and all were within the bound.
  public var passed: Bool { outcome == .passed }

  /// Whether this is a miss. A result that was not checked is none.
  public var failed: Bool {
    if case .failed = outcome { true } else { false }
  }
}
