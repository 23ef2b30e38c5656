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

  /// The ``AttentionCall/topKeyCount`` most attended keys of each query and their weights `P`, most attended first, without
  /// making the score matrix a result: memory is `O(L · k)`. ``AttentionResult/topKeys`` and
  /// ``AttentionResult/topWeights``.
  public static let topKeys = AttentionOutputs(rawValue: 16)
  /// The attention that each key receives from all queries of a head, `Σ_i P[i][j]`: float32 `[B, Hq, Lk]`.
  public static let received = AttentionOutputs(rawValue: 32)

  /// Whether a result is asked for that is as large as the score matrix itself.
  package var needsScoreMatrix: Bool { !isDisjoint(with: [.weights, .scores]) }

  /// Whether the most attended keys or the attention received are asked for.
  package var needsInsight: Bool { !isDisjoint(with: [.topKeys, .received]) }

  /// Whether it takes scores that are computed again once each row's maximum and sum are known.
  var needsRows: Bool { needsInsight || needsScoreMatrix }
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
  /// Int32 `[B, Hq, Lq, k]`, the longest sequence's length in layout `thd`: the keys of the `k` largest scores, by the weight
  /// that is returned, largest first, and of equal weights the lower key first. −1 where a query sees fewer than `k` keys.
  ///
  /// A key that is visible is listed even where it weighs 0. Where a row's weights are NaN they are all equal: its first `k`
  /// visible keys.
  public var topKeys: Tensor?
  /// Float32, the weights of ``topKeys``; 0 where there is no key.
  public var topWeights: Tensor?
  /// Float32 `[B, Hq, Lk]`, the longest sequence's keys in layout `thd`: the sum of each key's weights over the queries; 0
  /// for a key that no query sees and past a sequence. NaN for a key that is seen by a query whose weights are NaN.
  public var received: Tensor?

  public init(
    output: Tensor? = nil, logSumExp: Tensor? = nil, weights: Tensor? = nil, scores: Tensor? = nil,
    topKeys: Tensor? = nil, topWeights: Tensor? = nil, received: Tensor? = nil
  ) {
    self.output = output
    self.logSumExp = logSumExp
    self.weights = weights
    self.scores = scores
    self.topKeys = topKeys
    self.topWeights = topWeights
    self.received = received
  }
}
