import Attention
import AttentionTestSupport
import Testing

/// Attention worked out by hand, for the oracle too.
@Suite("By hand")
struct ReferenceTests {
  /// One query 1 of one dimension: the keys are the scores.
  static func call(
    scores: [Float], values: [Float], _ change: (inout AttentionCall) throws -> Void = { _ in }
  ) throws -> AttentionCall {
    var call = AttentionCall(
      query: try Tensor([1], shape: [1, 1, 1, 1]), key: try Tensor(scores, shape: [1, 1, scores.count, 1]),
      value: try Tensor(values, shape: [1, 1, values.count, 1]))
    call.returning = .all
    try change(&call)
    return call
  }

  struct Example: Sendable, CustomStringConvertible {
    let description: String
    let call: @Sendable () throws -> AttentionCall
    let scores: [Double]
    let weights: [Double]
    let output: Double
    let logSumExp: Double
  }

  static let (ln2, ln3) = (0.6931471805599453, 1.0986122886681098)

  static let examples = [
    Example(
      description: "ln 3 against 0", call: { try call(scores: [0, Float(ln3)], values: [8, -4]) }, scores: [0, ln3],
      weights: [0.25, 0.75], output: -1, logSumExp: 2 * ln2),
    Example(
      description: "scale 2", call: { try call(scores: [0, Float(ln3)], values: [8, -2]) { $0.scale = 2 } },
      scores: [0, 2 * ln3], weights: [0.1, 0.9], output: -1, logSumExp: 2.302585092994046),
    Example(
      description: "scale −1", call: { try call(scores: [0, Float(ln3)], values: [8, -4]) { $0.scale = -1 } },
      scores: [0, -ln3], weights: [0.75, 0.25], output: 5, logSumExp: 0.28768207245178090),
    Example(
      // 2 · tanh(atanh(ln 3 / 2)) = ln 3, and tanh 0 = 0.
      description: "softcap 2", call: { try call(scores: [0, 1.2347742], values: [8, -4]) { $0.softcap = 2 } },
      scores: [0, ln3], weights: [0.25, 0.75], output: -1, logSumExp: 2 * ln2),
    Example(
      description: "a sink", call: { try call(scores: [0, Float(ln2)], values: [8, -4]) { $0.sinks = [0] } },
      scores: [0, ln2], weights: [0.25, 0.5], output: 0, logSumExp: 2 * ln2),
    Example(
      // Query 0 stands at key 1: the first key is one away.
      description: "ALiBi",
      call: { try call(scores: [Float(2 * ln3), Float(ln3)], values: [8, -4]) { $0.alibiSlopes = [Float(ln3)] } },
      scores: [ln3, ln3], weights: [0.5, 0.5], output: 2, logSumExp: ln3 + ln2),
    Example(
      description: "ALiBi after the position",
      call: {
        try call(scores: [0, Float(ln3)], values: [8, -4]) {
          $0.alibiSlopes = [Float(ln3)]
          $0.mask = AttentionMask.none.queryOffset(0)
        }
      }, scores: [0, 0], weights: [0.5, 0.5], output: 2, logSumExp: ln2),
    Example(
      description: "an additive mask",
      call: {
        try call(scores: [0, 0, 0], values: [8, -4, 100]) {
          $0.mask = .tensor(try Tensor([0, Float(ln3), -.infinity], shape: [3]))
        }
      }, scores: [0, ln3, -.infinity], weights: [0.25, 0.75, 0], output: -1, logSumExp: 2 * ln2),
    Example(
      description: "a boolean mask",
      call: {
        try call(scores: [5, 0, Float(ln3)], values: [100, 8, -4]) {
          $0.mask = .tensor(try Tensor([false, true, true], shape: [1, 3]))
        }
      }, scores: [-.infinity, 0, ln3], weights: [0, 0.25, 0.75], output: -1, logSumExp: 2 * ln2),
    Example(
      description: "mask after softcap",
      call: {
        try call(scores: [0, 0], values: [8, -4]) {
          $0.softcap = 0.5
          $0.mask = .tensor(try Tensor([0, Float(ln3)], shape: [2]))
        }
      }, scores: [0, ln3], weights: [0.25, 0.75], output: -1, logSumExp: 2 * ln2),
    Example(
      description: "scores far beyond exp", call: { try call(scores: [1000, 1000], values: [8, -4]) },
      scores: [1000, 1000], weights: [0.5, 0.5], output: 2, logSumExp: 1000 + ln2),
    Example(
      description: "scores far below exp", call: { try call(scores: [-1000, -1000], values: [8, -4]) },
      scores: [-1000, -1000], weights: [0.5, 0.5], output: 2, logSumExp: -1000 + ln2),
  ]

  @Test("One query", arguments: TestDevice.allAndReference, examples)
  func oneQuery(device: TestDevice, example: Example) throws {
    let result = try device.attention(try example.call())
    func check(_ name: String, _ tensor: Tensor?, _ expected: [Double]) throws {
      let tensor = try #require(tensor)
      let bound = Bound(1e-6, growsWithMagnitude: true)
      #expect(mismatch(name, tensor.doubles(), expected, shape: tensor.shape, bound) == nil)
    }
    try check("scores", result.scores, example.scores)
    try check("weights", result.weights, example.weights)
    try check("output", result.output.map { try $0.reshaped([1]) }, [example.output])
    try check("log-sum-exp", result.logSumExp, [example.logSumExp])
  }

  @Test("Heads share keys in groups: head h reads h / (Hq / Hkv)", arguments: TestDevice.allAndReference)
  func groups(device: TestDevice) throws {
    let call = AttentionCall(
      query: try Tensor(Array(repeating: 1, count: 6), shape: [1, 6, 1, 1]),
      key: try Tensor([1, 1], shape: [1, 2, 1, 1]),
      value: try Tensor([10, 20], shape: [1, 2, 1, 1]))
    #expect(try device.attention(call).output?.floats() == [10, 10, 10, 20, 20, 20])
  }

  @Test("The default scale is 1/√D", arguments: TestDevice.allAndReference)
  func defaultScale(device: TestDevice) throws {
    var call = AttentionCall(
      query: try Tensor([1, 1, 1, 1], shape: [1, 1, 1, 4]), key: try Tensor([3, 3, 3, 3], shape: [1, 1, 1, 4]),
      value: try Tensor([1], shape: [1, 1, 1, 1]))
    call.returning = .scores
    #expect(try device.attention(call).scores?.floats() == [6])
  }

  @Test("Each layout has its dimensions where it says", arguments: TestDevice.allAndReference)
  func layouts(device: TestDevice) throws {
    let engine = try device.engine()
    // Two heads of two rows: a window of one key makes the output the values themselves, which tell them apart.
    let values = try Tensor([1, 2, 3, 4], shape: [1, 2, 2, 1])
    let zeros = try Tensor([0, 0, 0, 0], shape: [1, 2, 2, 1])
    for layout in [TensorLayout.bhsd, .bshd] {
      var call = AttentionCall(query: zeros, key: zeros, value: values, layout: layout)
      call.mask = .causal(.upperLeft)
      let expected: [Float] = layout == .bhsd ? [1, 1.5, 3, 3.5] : [1, 2, 2, 3]
      #expect(try engine.attention(call).output?.floats() == expected, "\(layout)")
    }
    let packed = try Tensor([0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 3, 4], shape: [1, 2, 3, 2, 1])
    var call = AttentionCall(packed: packed)
    call.mask = .causal(.upperLeft)
    #expect(try engine.attention(call).output?.floats() == [1, 2, 2, 3])
  }
}
