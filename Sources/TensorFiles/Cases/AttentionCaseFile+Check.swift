import Attention

extension AttentionCaseFile {
  /// Holds a result to what the file expects.
  ///
  /// | result | bound on the error |
  /// |---|---|
  /// | `output` | `2 × naive + 1e-5`, with the naive error in the storage type, else in float32, else its rounding |
  /// | `log_sum_exp`, `scores`, `received` | `1e-5 · max(1, \|expected\|)` |
  /// | `weights`, `top_weights` | `1e-5` |
  /// | `top_keys` | none, but where the weights before or after a key are so near that rounding may change their order |
  ///
  /// NaN must meet NaN, and an infinity the same infinity.
  ///
  /// - Returns: One check for each expected tensor, in the order of their names. A wrong shape or a result that was asked
  ///   for and is missing has failed; one that was not asked for is not checked.
  public func check(_ result: AttentionResult) -> [CaseCheck] {
    expected.sorted { $0.key < $1.key }.map { name, expected in
      guard let output = CaseOutput(rawValue: name), call.returning.contains(output.option) else {
        return CaseCheck(name: name, outcome: .notChecked("the case does not ask for it"))
      }
      guard let actual = output.tensor(of: result) else {
        return CaseCheck(name: name, outcome: .failed("it was not returned"))
      }
      guard actual.shape == expected.shape else {
        return CaseCheck(name: name, outcome: .failed("expected shape \(expected.shape), found \(actual.shape)"))
      }
      if output == .topKeys {
        return Self.compareKeys(
          actual, with: expected, weights: self.expected[CaseOutput.topWeights.rawValue] ?? result.topWeights)
      }
      return Self.compare(actual, with: expected, name: name, tolerance: tolerance(of: output, expected: expected))
    }
  }

  /// What an error may come to: as it is, or over the size of what is expected where that is above 1.
  private struct Tolerance {
    var bound = 1e-5
    var isRelative = false
  }

  private func tolerance(of output: CaseOutput, expected: Tensor) -> Tolerance {
    switch output {
    case .output: Tolerance(bound: 2 * naiveOutputError(expected: expected) + 1e-5)
    case .logSumExp, .scores, .received: Tolerance(isRelative: true)
    case .weights, .topKeys, .topWeights: Tolerance()
    }
  }

  /// The error that naive attention is known or bound to make. One that overflowed is not finite, and no measure.
  private func naiveOutputError(expected: Tensor) -> Double {
    for kind in ["lowp", "f32math"] {
      if let error = naiveErrors[kind], error.isFinite { return error }
    }
    let largest = expected.doubles().lazy.map(\.magnitude).filter(\.isFinite).max() ?? 0
    return largest * problem.elementType.unitRoundoff
  }

  private static func compare(
    _ actual: Tensor, with expected: Tensor, name: String, tolerance: Tolerance
  ) -> CaseCheck {
    var maximum = 0.0
    var firstFailure: Int?
    for (index, (actual, expected)) in zip(actual.doubles(), expected.doubles()).enumerated() {
      let error = error(of: actual, expected: expected, isRelative: tolerance.isRelative)
      maximum = max(maximum, error)
      if firstFailure == nil, error > tolerance.bound { firstFailure = index }
    }
    let place = firstFailure.map { index(of: $0, in: expected.shape) }
    return CaseCheck(
      name: name, outcome: place == nil ? .passed : .failed("an error of \(maximum), above \(tolerance.bound)"),
      maximumError: maximum, bound: tolerance.bound, firstFailure: place)
  }

  private static func compareKeys(_ actual: Tensor, with expected: Tensor, weights: Tensor?) -> CaseCheck {
    let name = CaseOutput.topKeys.rawValue
    guard let weights, weights.count == expected.count else {
      return CaseCheck(name: name, outcome: .failed("there are no weights of shape \(expected.shape) to tell keys by"))
    }
    guard let found = try? actual.integers(), let wanted = try? expected.integers() else {
      return CaseCheck(name: name, outcome: .failed("expected I32 or I64, found \(actual.elementType.rawValue)"))
    }
    let place = TopKeyOrder.firstDifference(
      found, wanted, weights: weights.doubles(), count: expected.shape.last ?? 0, bound: Tolerance().bound)
    return CaseCheck(
      name: name, outcome: place.map { .failed("key \(found[$0]), expected \(wanted[$0])") } ?? .passed,
      firstFailure: place.map { index(of: $0, in: expected.shape) })
  }

  /// Never NaN, so that every comparison with it means something.
  private static func error(of actual: Double, expected: Double, isRelative: Bool) -> Double {
    if expected.isNaN { return actual.isNaN ? 0 : .infinity }
    if actual == expected { return 0 }
    guard actual.isFinite, expected.isFinite else { return .infinity }
    return abs(actual - expected) / (isRelative ? max(1, abs(expected)) : 1)
  }

  /// The index in each dimension of an element that stands at `position`.
  private static func index(of position: Int, in shape: [Int]) -> [Int] {
    var rest = position
    var index = shape
    for dimension in shape.indices.reversed() {
      (rest, index[dimension]) = rest.quotientAndRemainder(dividingBy: shape[dimension])
    }
    return index
  }
}
