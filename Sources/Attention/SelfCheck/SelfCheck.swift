/// Small calls with known answers, run on a device to see that it computes what it should: its compiler and its
/// arithmetic are part of the result.
package enum SelfCheck {
  package struct Case: Sendable {
    package let name: String
    package let call: AttentionCall
    /// What the output must be, where it follows from the call without computing attention.
    package let knownOutput: [Float]?
  }

  package struct Outcome: Sendable {
    package let name: String
    package let maximumError: Double
    package let bound: Double
    package var passed: Bool { maximumError <= bound }
  }

  /// Runs one case and holds it to the float64 reference and, where there is one, to the known answer.
  package static func run(_ check: Case, on engine: AttentionEngine) throws -> Outcome {
    let problem = try AttentionProblem(check.call)
    let expected = try ResultBuffers(problem)
    ReferenceAttention.compute(check.call, problem, heads: 0..<problem.headCount, into: expected)
    let found = try engine.attention(check.call)

    var worst = ErrorRatio()
    if let known = check.knownOutput {
      worst.compare(found.output, known, relative: problem.elementType.unitRoundoff * 2, absolute: 1e-5)
    }
    worst.compare(
      found.output, expected.output?.floats(), relative: problem.elementType.unitRoundoff * 2, absolute: 1e-5)
    worst.compare(found.logSumExp, expected.logSumExp?.floats(), relative: 1e-5, absolute: 1e-5)
    worst.compare(found.weights, expected.weights?.floats(), relative: 0, absolute: 1e-5)
    worst.compare(found.scores, expected.scores?.floats(), relative: 1e-5, absolute: 1e-5)
    worst.compare(found.received, expected.received?.floats(), relative: 1e-5, absolute: 1e-5)
    worst.compare(found.topWeights, expected.topWeights?.floats(), relative: 0, absolute: 1e-5)
    worst.compare(keys: found.topKeys, expected.topKeys, weights: expected.topWeights, count: problem.topKeyCount)
    return Outcome(name: check.name, maximumError: worst.error, bound: worst.bound)
  }

  /// The cases: every feature once, over awkward shapes. `quick` is a few of them, in float32 alone.
  package static func cases(quick: Bool = false) throws -> [Case] {
    var build = CaseBuilder()
    let types: [ElementType] = quick ? [.float32] : [.float32, .float16, .bfloat16]
    for type in types {
      try build.add("plain", type)
      try build.add("scale 0: the mean of the values", type, scale: 0)
      try build.add(
        "causal, grouped heads", type, heads: 4, keyHeads: 2, queries: 65, keys: 129, width: 80, valueWidth: 32
      ) {
        $0.mask = .causal(.lowerRight)
      }
      try build.add("one query", type, queries: 1, keys: 257, width: 128)
      guard !quick else { continue }
      try build.add("D 7, Dv 9", type, queries: 3, keys: 17, width: 7, valueWidth: 9)
      try build.add(
        "D 576, Dv 512, one key head", type, heads: 4, keyHeads: 1, queries: 17, keys: 63, width: 576, valueWidth: 512)
      try build.add("causal, upper left, more queries than keys", type, queries: 129, keys: 63) {
        $0.mask = .causal(.upperLeft)
      }
      try build.add("causal, rows that see no key", type, queries: 129, keys: 63) { $0.mask = .causal(.lowerRight) }
      try build.add("window", type, queries: 127, keys: 127) { $0.mask = .window(left: 16, right: 3) }
      try build.add("window of one key: the value itself", type, queries: 65, keys: 65, ownValue: true) {
        $0.mask = .window(left: 0, right: 0)
      }
      try build.add("softcap, ALiBi, sinks", type, queries: 33, keys: 65) {
        $0.softcap = 5
        $0.alibiSlopes = [0.5, 0.25]
        $0.sinks = [1, -2]
      }
      try build.add("key lengths, one of them 0", type, batch: 3, queries: 17, keys: 65) {
        $0.keyLengths = [0, 65, 30]
      }
      try build.add(
        "most attended keys and attention received", type, heads: 4, keyHeads: 2, queries: 65, keys: 129, width: 80
      ) {
        $0.mask = .causal(.lowerRight)
        $0.returning = [.topKeys, .received]
      }
      try build.addMasks(type)
      try build.addBlocks(type)
      try build.addPacked(type)
      try build.addPaged(type)
      try build.addPast(type)
      try build.addLayouts(type)
    }
    return build.cases
  }
}

/// The error that is largest in proportion to its bound.
private struct ErrorRatio {
  private(set) var error = 0.0
  private(set) var bound = 1e-5
  private var ratio = -1.0

  /// The bound is `absolute`, and beyond magnitude 1 (for outputs: at any) `relative` of the expected number.
  mutating func compare(_ found: Tensor?, _ expected: [Float]?, relative: Double, absolute: Double) {
    guard let expected else { return }
    guard let found = found?.floats(), found.count == expected.count else { return record(.infinity, absolute) }
    for (a, b) in zip(found, expected) where a != b && !(a.isNaN && b.isNaN) {
      let difference = abs(Double(a) - Double(b))
      record(difference.isNaN ? .infinity : difference, absolute + relative * abs(Double(b)))
    }
  }

  /// Keys are right or wrong.
  mutating func compare(keys found: Tensor?, _ expected: Tensor?, weights: Tensor?, count: Int) {
    guard let expected, let weights else { return }
    guard let found = try? found?.integers(), let expected = try? expected.integers(), found.count == expected.count
    else { return record(.infinity, 1e-5) }
    let difference = TopKeyOrder.firstDifference(
      found, expected, weights: weights.doubles(), count: count, bound: 1e-5)
    if difference != nil { record(.infinity, 1e-5) }
  }

  private mutating func record(_ error: Double, _ bound: Double) {
    guard error / bound > ratio else { return }
    (self.error, self.bound, ratio) = (error, bound, error / bound)
  }
}
