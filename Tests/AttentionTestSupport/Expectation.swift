import Attention

/// What a call comes to, from the float64 reference, and how far from it a device may be.
///
/// | result | bound |
/// |---|---|
/// | output | 2 × the error of naive attention in the storage type + 1e-5 |
/// | log-sum-exp, scores | 1e-5 · max(1, \|expected\|) |
/// | weights, weights of the most attended keys | 1e-5 |
/// | attention received | 1e-5 · max(1, \|expected\|) |
///
/// NaN must meet NaN, and an infinity the same infinity.
package struct Expectation: Sendable {
  /// All results, in float32 whatever the call's type.
  package let results: AttentionResult
  /// The largest error of naive attention in the storage type; 0 where it is not known.
  package let naiveError: Double
  private let outputs: AttentionOutputs

  /// - Parameter naive: Whether to compute what naive attention makes of the call; without it the bound on the output is
  ///   twice its rounding.
  package init(_ call: AttentionCall, naive: Bool = true) throws {
    outputs = call.returning
    // The storage types are exact in float32, where the reference's result is rounded the least.
    var promoted = try call.promoted()
    promoted.returning = .all
    results = try TestDevice.reference.engine().attention(promoted)
    let expected = results.output?.doubles() ?? []
    if naive {
      naiveError =
        zip(try NaiveAttention.output(of: call, scores: results.scores), expected)
        .map { abs(Double($0) - $1) }.filter(\.isFinite).max() ?? 0
    } else {
      naiveError = (expected.map(\.magnitude).filter(\.isFinite).max() ?? 0) * call.query.elementType.unitRoundoff
    }
  }

  /// What is wrong with a result: one line for each part of it that is missing, misshapen or too far off.
  package func misses(_ result: AttentionResult) -> [String] {
    let parts: [(AttentionOutputs, String, Tensor?, Tensor?, Bound)] = [
      (.output, "output", result.output, results.output, Bound(2 * naiveError + 1e-5)),
      (.logSumExp, "log-sum-exp", result.logSumExp, results.logSumExp, Bound(1e-5, growsWithMagnitude: true)),
      (.weights, "weights", result.weights, results.weights, Bound(1e-5)),
      (.scores, "scores", result.scores, results.scores, Bound(1e-5, growsWithMagnitude: true)),
      (.topKeys, "top weights", result.topWeights, results.topWeights, Bound(1e-5)),
      (.received, "received", result.received, results.received, Bound(1e-5, growsWithMagnitude: true)),
    ]
    let lists = outputs.contains(.topKeys) ? TopKeyLists.faults(of: result, expected: results) : []
    let misses = parts.compactMap { output, name, found, expected, bound in
      guard outputs.contains(output) else { return found == nil ? nil : "\(name) was not asked for" }
      return mismatch(name, found, expected, bound)
    }
    return misses + lists
  }
}

extension AttentionCall {
  /// The same call with queries, keys and values in float32.
  package func promoted() throws -> AttentionCall {
    var call = self
    switch operands {
    case .packed(let packed): call.operands = .packed(try packed.converted(to: .float32))
    case .separate(let query, let key, let value):
      call.operands = .separate(
        query: try query.converted(to: .float32), key: try key.converted(to: .float32),
        value: try value.converted(to: .float32))
    }
    call.past = try past.map { (try $0.key.converted(to: .float32), try $0.value.converted(to: .float32)) }
    return call
  }
}
