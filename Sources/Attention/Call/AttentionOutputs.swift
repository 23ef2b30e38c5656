/// The results that a call can ask for.
public struct AttentionOutputs: OptionSet, Sendable, Hashable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }

  /// `Σ_j P[j] · value[j]`, in the query's element type and layout.
  public static let output = AttentionOutputs(rawValue: 1)
  /// The natural logarithm of the softmax denominator, sinks included: float32 `[B, Hq, Lq]`, `[Hq, ΣLq]` in `thd`.
  public static let logSumExp = AttentionOutputs(rawValue: 2)
  /// The probabilities `P`: float32 `[B, Hq, Lq, Lk]`; 0 for a hidden key.
  public static let weights = AttentionOutputs(rawValue: 4)
  /// The logits after scale, softcap, ALiBi and masks: float32 `[B, Hq, Lq, Lk]`; −∞ for a hidden key.
  public static let scores = AttentionOutputs(rawValue: 8)

  /// Whether a result is asked for that is as large as the score matrix itself.
  package var needsScoreMatrix: Bool { !isDisjoint(with: [.weights, .scores]) }
}

/// What a call returned: each result that was asked for, and `nil` for the others.
public struct AttentionResult: Sendable {
  /// In the query's element type and layout, with the value's dimension last.
  public var output: Tensor?
  /// Float32 `[B, Hq, Lq]`; `[Hq, ΣLq]` in layout `thd`. −∞ for a query that sees no key.
  public var logSumExp: Tensor?
  /// Float32 `[B, Hq, Lq, Lk]`, the longest sequences' lengths in layout `thd`, where what is past a sequence is 0.
  public var weights: Tensor?
  /// As ``weights``; −∞ for a hidden key and past a sequence.
  public var scores: Tensor?

  public init(output: Tensor? = nil, logSumExp: Tensor? = nil, weights: Tensor? = nil, scores: Tensor? = nil) {
    self.output = output
    self.logSumExp = logSumExp
    self.weights = weights
    self.scores = scores
  }
}
