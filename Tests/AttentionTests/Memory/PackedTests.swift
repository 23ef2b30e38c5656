import Attention
import AttentionTestSupport
import Testing

@Suite("Packed sequences")
struct PackedTests {
  /// Sequences of these lengths, one after the other in layout `thd`.
  static func call(
    _ type: ElementType = .float32, queries: [Int], keys: [Int], heads: Int = 4, keyHeads: Int = 2, width: Int = 32
  ) throws -> AttentionCall {
    var numbers = SeededNumbers(seed: 3)
    let (queryRows, keyRows) = (queries.reduce(0, +), keys.reduce(0, +))
    var call = AttentionCall(
      query: try numbers.tensor([queryRows, heads, width], type),
      key: try numbers.tensor([keyRows, keyHeads, width], type),
      value: try numbers.tensor([keyRows, keyHeads, width], type), layout: .thd)
    call.cumulativeQueryLengths = cumulative(queries)
    call.cumulativeKeyLengths = cumulative(keys)
    call.returning = .all
    return call
  }

  static func cumulative(_ lengths: [Int]) -> [Int] {
    lengths.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
  }

  static let lengths: [(queries: [Int], keys: [Int])] = [
    ([17], [65]), ([17, 65, 2], [30, 65, 6]), ([1, 1, 1], [100, 3, 64]), ([17, 0, 65], [30, 7, 65]),
    ([17, 5, 65], [30, 0, 65]), ([0, 17, 0, 5], [0, 30, 9, 0]), ([0, 0], [0, 0]), ([3, 200], [300, 2]),
    ([64, 1, 63], [1, 64, 65]),
  ]

  static let masks: [(String, AttentionMask)] = [
    ("no mask", .none), ("lower right", .causal(.lowerRight)), ("upper left", .causal(.upperLeft)),
    ("window 12, 4", .window(left: 12, right: 4)), ("offset 3", .causal(.lowerRight).queryOffset(3)),
  ]

  static let calls = ElementType.storageTypes.flatMap { type in
    masks.flatMap { name, mask in
      lengths.map { queries, keys in
        NamedCall("\(type.rawValue) \(queries)×\(keys) \(name)") {
          var call = try call(type, queries: queries, keys: keys)
          call.mask = mask
          return call
        }
      }
    }
  }

  @Test("Lengths that differ, empty ones too", arguments: TestDevice.all, calls)
  func sequences(device: TestDevice, call: NamedCall) throws {
    try check(call.call(), on: device)
  }

  @Test("Key lengths hide keys and leave the mask's shape alone", arguments: TestDevice.all)
  func keyLengths(device: TestDevice) throws {
    let keys = [30, 66]
    var call = try Self.call(queries: [17, 5], keys: keys)
    call.keyLengths = [30, 12]
    call.mask = .tensor(try Tensor((0..<17 * 66).map { $0 % 5 != 0 }, shape: [17, 66]))
    let result = try device.attention(call)
    #expect(try Expectation(call).misses(result) == [])
    #expect(result.weights?.shape == [2, 4, 17, 66])
    let weights = try #require(result.weights).floats()
    let secondSequence = weights[(4 * 17 * 66)...]
    #expect(secondSequence.enumerated().allSatisfy { $0.offset % 66 < 12 || $0.element == 0 })
  }

  /// Of lengths that the same kernels are for: the longest sequence decides for all of a call.
  @Test(
    "Each sequence is attention by itself", arguments: TestDevice.allAndReference, [[17, 40, 23], [1, 16, 3]])
  func alone(device: TestDevice, queries: [Int]) throws {
    let keys = [30, 9, 66]
    var call = try Self.call(queries: queries, keys: keys)
    call.mask = .causal(.lowerRight)
    let engine = device
    let output = try #require(try engine.attention(call).output).floats()
    for (b, first) in Self.cumulative(queries).dropLast().enumerated() {
      let firstKey = Self.cumulative(keys)[b]
      func rows(_ tensor: Tensor, _ first: Int, _ count: Int) throws -> Tensor {
        let size = tensor.shape[1] * tensor.shape[2]
        return try Tensor(
          Array(tensor.floats()[first * size..<(first + count) * size]), shape: [1, count] + tensor.shape.dropFirst())
      }
      var single = AttentionCall(
        query: try rows(call.query, first, queries[b]), key: try rows(call.key, firstKey, keys[b]),
        value: try rows(call.value, firstKey, keys[b]), layout: .bshd)
      single.mask = call.mask
      let expected = try #require(try engine.attention(single).output).floats()
      #expect(Array(output[first * 128..<(first + queries[b]) * 128]) == expected, "sequence \(b)")
    }
  }
}
