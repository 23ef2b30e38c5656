import Attention
import AttentionTestSupport
import Testing

/// What is defined where scores are infinite: visibility counts, not the value of a score.
@Suite("Infinite scores")
struct InfiniteScoreTests {
  /// Positive queries, and keys of which some hold ±∞: their scores are ±∞.
  static func call(_ type: ElementType, infinite: [Int: Float], keys: Int = 70) throws -> AttentionCall {
    var numbers = SeededNumbers(seed: 9)
    var elements = (0..<keys * 8).map { _ in numbers.normal() }
    for (key, value) in infinite { elements[key * 8 + 2] = value }
    var call = AttentionCall(
      query: try Tensor(Array(repeating: 0.5, count: 5 * 8), shape: [1, 1, 5, 8], as: type),
      key: try Tensor(elements, shape: [1, 1, keys, 8], as: type), value: try numbers.tensor([1, 1, keys, 8], type))
    call.returning = .all
    return call
  }

  static let all = Dictionary(uniqueKeysWithValues: (0..<70).map { ($0, -Float.infinity) })

  @Test("Only visible scores of −∞: NaN, and −∞", arguments: TestDevice.allAndReference, ElementType.storageTypes)
  func onlyNegative(device: TestDevice, type: ElementType) throws {
    let call = try Self.call(type, infinite: Self.all)
    let result = try device.attention(call)
    #expect(result.output?.floats().allSatisfy(\.isNaN) == true)
    #expect(result.logSumExp?.floats() == Array(repeating: -.infinity, count: 5))
    #expect(try Expectation(call, naive: false).misses(result) == [])
  }

  @Test(
    "Only visible scores of −∞ and a sink: 0, and the sink", arguments: TestDevice.allAndReference, [Float(0.75), -3])
  func onlyNegativeWithSink(device: TestDevice, sink: Float) throws {
    var call = try Self.call(.float32, infinite: Self.all)
    call.sinks = [sink]
    let result = try device.attention(call)
    #expect(result.output?.floats() == Array(repeating: 0, count: 5 * 8))
    #expect(result.logSumExp?.floats() == Array(repeating: sink, count: 5))
    #expect(try Expectation(call, naive: false).misses(result) == [])
  }

  @Test(
    "Only visible scores of −∞ and a sink that is no number: NaN", arguments: TestDevice.allAndReference,
    [Float.nan, .infinity, -.infinity])
  func onlyNegativeWithPoisonedSink(device: TestDevice, sink: Float) throws {
    var call = try Self.call(.float32, infinite: Self.all)
    call.sinks = [sink]
    let result = try device.attention(call)
    #expect(result.output?.floats().allSatisfy(\.isNaN) == true)
    #expect(try Expectation(call, naive: false).misses(result) == [])
  }

  @Test("Some visible scores of −∞: as if hidden", arguments: TestDevice.allAndReference, ElementType.storageTypes)
  func someNegative(device: TestDevice, type: ElementType) throws {
    let infinite: [Int: Float] = [0: -.infinity, 33: -.infinity, 69: -.infinity]
    var call = try Self.call(type, infinite: infinite)
    let found = try device.attention(call)
    call.operands = try Self.call(type, infinite: [:]).operands
    call.mask = .tensor(try Tensor((0..<70).map { infinite[$0] == nil }, shape: [70]))
    let expected = try device.attention(call)
    #expect(found.differences(from: expected) == [])
    #expect(found.output?.floats().allSatisfy(\.isFinite) == true)
  }

  @Test("A score of +∞: NaN, and +∞", arguments: TestDevice.allAndReference, ElementType.storageTypes)
  func positive(device: TestDevice, type: ElementType) throws {
    for infinite in [[40: Float.infinity], [0: .infinity, 69: .infinity], [40: .infinity, 41: -.infinity]] {
      let call = try Self.call(type, infinite: infinite)
      let result = try device.attention(call)
      #expect(result.output?.floats().allSatisfy(\.isNaN) == true)
      #expect(result.logSumExp?.floats() == Array(repeating: .infinity, count: 5))
      #expect(try Expectation(call, naive: false).misses(result) == [])
    }
  }

  @Test("Beyond the first chunk of keys", arguments: TestDevice.all, [Float.nan, .infinity, -.infinity])
  func chunks(device: TestDevice, value: Float) throws {
    for key in [10, 4095, 4096, 4999] {
      let call = try Self.call(.float32, infinite: [key: value], keys: 5000)
      let result = try device.attention(call)
      #expect(try Expectation(call, naive: false).misses(result) == [], "key \(key)")
    }
  }

  @Test("Scores that overflow half do not", arguments: TestDevice.all, [ElementType.float16, .bfloat16])
  func largeScores(device: TestDevice, type: ElementType) throws {
    var numbers = SeededNumbers(seed: 10)
    func large(_ rows: Int) throws -> Tensor {
      try Tensor((0..<rows * 64).map { _ in 300 * numbers.normal() }, shape: [1, 1, rows, 64], as: type)
    }
    var call = AttentionCall(query: try large(5), key: try large(65), value: try numbers.tensor([1, 1, 65, 64], type))
    call.scale = 1
    call.returning = [.output, .logSumExp]
    let result = try device.attention(call)
    #expect(result.logSumExp?.floats().allSatisfy { $0 > 65_504 && $0.isFinite } == true)
    #expect(try Expectation(call, naive: false).misses(result) == [])
  }
}
