import Attention
import AttentionTestSupport
import Testing

/// Lists of most attended keys whose answers are known beforehand.
@Suite("Most attended keys")
struct TopKeyTests {
  /// One query of one dimension: the keys are the scores.
  static func list(
    _ scores: [Float], k: Int, on device: TestDevice, _ change: (inout AttentionCall) throws -> Void = { _ in }
  ) throws -> (keys: [Int], weights: [Float]) {
    var call = AttentionCall(
      query: try Tensor([1], shape: [1, 1, 1, 1]), key: try Tensor(scores, shape: [1, 1, scores.count, 1]),
      value: try Tensor(scores, shape: [1, 1, scores.count, 1]))
    call.returning = .topKeys
    call.topKeyCount = k
    try change(&call)
    let result = try device.engine().attention(call)
    return (try #require(result.topKeys).integers(), try #require(result.topWeights).floats())
  }

  @Test("By hand", arguments: TestDevice.allAndReference)
  func byHand(device: TestDevice) throws {
    // Weights 1/8, 1/2, 1/8, 1/4.
    let ln2 = Float(0.6931471805599453)
    let (keys, weights) = try Self.list([0, 2 * ln2, 0, ln2], k: 5, on: device)
    #expect(keys == [1, 3, 0, 2, -1])
    #expect(zip(weights, [0.5, 0.25, 0.125, 0.125, 0]).allSatisfy { abs($0 - $1) < 1e-6 })
  }

  @Test("Scores that rise and that fall through many tiles", arguments: TestDevice.allAndReference, [1, 8, 64])
  func ordered(device: TestDevice, k: Int) throws {
    let rising = (0..<300).map { Float($0) / 64 }
    #expect(try Self.list(rising, k: k, on: device).keys == (0..<k).map { 299 - $0 })
    #expect(try Self.list(rising.reversed(), k: k, on: device).keys == Array(0..<k))
  }

  @Test("Ties go to the lower key", arguments: TestDevice.allAndReference, [1, 3, 64])
  func ties(device: TestDevice, k: Int) throws {
    #expect(try Self.list(Array(repeating: 1.5, count: 300), k: k, on: device).keys == Array(0..<k))
    // Two values in turn, the larger one at odd keys.
    let keys = try Self.list((0..<300).map { Float($0 % 2) }, k: k, on: device).keys
    #expect(keys == (0..<k).map { 2 * $0 + 1 })
  }

  @Test("A visible key that weighs nothing is a key; a hidden one is not", arguments: TestDevice.allAndReference)
  func weightless(device: TestDevice) throws {
    var scores = [Float](repeating: -.infinity, count: 70)
    scores[33] = 2
    scores[35] = -500
    let (keys, weights) = try Self.list(scores, k: 5, on: device) {
      $0.mask = .tensor(try Tensor((0..<70).map { $0 > 31 && $0 != 34 }, shape: [70]))
    }
    // Key 35 is chosen before those of −∞, and stands among them: it weighs as little.
    #expect(keys == [33, 32, 35, 36, 37])
    #expect(weights == [1, 0, 0, 0, 0])
  }

  @Test(
    "NaN: the first keys that the row sees", arguments: TestDevice.allAndReference,
    [Float.nan, .infinity])
  func notNumbers(device: TestDevice, poison: Float) throws {
    var scores = (0..<200).map { Float($0) }
    scores[150] = poison
    let (keys, weights) = try Self.list(scores, k: 4, on: device) {
      $0.mask = .tensor(try Tensor((0..<200).map { $0 % 2 == 0 }, shape: [200]))
    }
    #expect(keys == [0, 2, 4, 6])
    #expect(weights.map(\.isNaN) == [true, true, true, true])
  }

  @Test("Only scores of −∞: NaN, or 0 with a sink", arguments: TestDevice.allAndReference)
  func nothing(device: TestDevice) throws {
    let scores = [Float](repeating: -.infinity, count: 70)
    let (keys, weights) = try Self.list(scores, k: 3, on: device)
    #expect(keys == [0, 1, 2])
    #expect(weights.map(\.isNaN) == [true, true, true])
    let sunk = try Self.list(scores, k: 3, on: device) { $0.sinks = [1] }
    #expect(sunk.keys == [0, 1, 2] && sunk.weights == [0, 0, 0])
  }

  @Test("NaN is received by the keys that its row sees and by no other", arguments: TestDevice.allAndReference)
  func poisoned(device: TestDevice) throws {
    var call = try CallShape(heads: 1, queries: 130, keys: 130, D: 8).call(returning: .received)
    call.operands = .separate(
      query: try call.query.replacing([0, 0, 70, 1], with: .nan), key: call.key, value: call.value)
    call.mask = .causal(.lowerRight).window(left: 3)
    let received = try #require(try device.engine().attention(call).received).floats()
    #expect(received.indices.filter { received[$0].isNaN } == [67, 68, 69, 70])
  }
}
