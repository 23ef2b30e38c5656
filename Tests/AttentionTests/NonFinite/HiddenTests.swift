import Attention
import AttentionTestSupport
import Testing

/// What no query sees reaches no output, whatever it is.
@Suite("Hidden NaN and infinities")
struct HiddenTests {
  static let queries = 33
  static let keys = 70

  /// A way to hide keys from every query.
  struct Hiding: Sendable, CustomStringConvertible {
    let description: String
    let hidden: Range<Int>
    let apply: @Sendable (inout AttentionCall) throws -> Void
  }

  static let hidings = [
    Hiding(description: "causal, upper left", hidden: 33..<70) { $0.mask = .causal(.upperLeft) },
    Hiding(description: "window on the left", hidden: 0..<30) { $0.mask = .window(left: 7) },
    Hiding(description: "window on the right", hidden: 40..<70) { $0.mask = .window(right: 7).queryOffset(0) },
    Hiding(description: "key length", hidden: 37..<70) { $0.keyLengths = [37] },
    Hiding(description: "boolean mask", hidden: 20..<22) {
      $0.mask = .tensor(try Tensor((0..<70).map { !(20..<22).contains($0) }, shape: [70]))
    },
    Hiding(description: "additive mask", hidden: 20..<22) {
      $0.mask = .tensor(
        try Tensor(
          (0..<33 * 70).map { (20..<22).contains($0 % 70) ? -.infinity : Float($0 % 3) }, shape: [33, 70], as: .float16)
      )
    },
  ]

  static let poisons = [Float.nan, .infinity, -.infinity]

  @Test("In keys and values that no query sees", arguments: TestDevice.allAndReference, hidings)
  func everyQuery(device: TestDevice, hiding: Hiding) throws {
    let engine = device
    for type in ElementType.storageTypes {
      var clean = try CallShape(type, queries: Self.queries, keys: Self.keys, D: 20).call()
      try hiding.apply(&clean)
      let expected = try engine.attention(clean)
      for value in Self.poisons {
        var call = clean
        call.operands = .separate(
          query: clean.query, key: try Self.poison(clean.key, hiding.hidden, value),
          value: try Self.poison(clean.value, hiding.hidden, value))
        let found = try engine.attention(call)
        let (output, wanted) = (try #require(found.output), try #require(expected.output))
        #expect(mismatch("output", output, wanted, Bound(1e-6 + 1 / 128)) == nil, "\(type) \(value)")
        #expect(found.logSumExp?.bits == expected.logSumExp?.bits, "\(type) \(value)")
        #expect(found.weights?.bits == expected.weights?.bits, "\(type) \(value)")
      }
    }
  }

  /// The rows of a `[1, H, L, D]` tensor, all of them this value.
  static func poison(_ tensor: Tensor, _ rows: Range<Int>, _ value: Float) throws -> Tensor {
    let (length, width) = (tensor.shape[2], tensor.shape[3])
    let elements = tensor.floats().enumerated().map { rows.contains($0 / width % length) ? value : $1 }
    return try Tensor(elements, shape: tensor.shape, as: tensor.elementType)
  }

  @Test("In a neighbouring packed sequence", arguments: TestDevice.allAndReference, poisons)
  func packed(device: TestDevice, value: Float) throws {
    let clean = try PackedTests.call(queries: [5, 7, 6], keys: [20, 9, 31])
    var call = clean
    func poison(_ tensor: Tensor) throws -> Tensor {
      let size = tensor.shape[1] * tensor.shape[2]
      return try Tensor(
        tensor.floats().enumerated().map { (20..<29).contains($0 / size) ? value : $1 }, shape: tensor.shape)
    }
    call.operands = .separate(query: clean.query, key: try poison(clean.key), value: try poison(clean.value))
    let (found, expected) = (try device.attention(call), try device.attention(clean))
    let (output, wanted) = (try #require(found.output).floats(), try #require(expected.output).floats())
    for row in 0..<18 {
      let range = row * 128..<(row + 1) * 128
      if (5..<12).contains(row) {
        #expect(output[range].allSatisfy { !$0.isFinite }, "row \(row)")
      } else {
        #expect(output[range] == wanted[range], "row \(row)")
      }
    }
  }

  @Test("In pages that no table names, and past a sequence's last key", arguments: TestDevice.allAndReference, poisons)
  func paged(device: TestDevice, value: Float) throws {
    let clean = try PagedTests.call()
    var call = clean
    // Blocks 4, 5 and 6 are in no sequence; the first one's last block is 3, of which it has 8 keys.
    func poison(_ pool: Tensor) throws -> Tensor {
      let size = pool.shape[2] * pool.shape[3]
      let elements = pool.floats().enumerated().map { index, element in
        let (block, row) = (index / size / 16, index / size % 16)
        return [4, 5, 6].contains(block) || block == 3 && row >= 8 ? value : element
      }
      return try Tensor(elements, shape: pool.shape)
    }
    call.operands = .separate(query: clean.query, key: try poison(clean.key), value: try poison(clean.value))
    let (found, expected) = (try device.attention(call), try device.attention(clean))
    #expect(found.differences(from: expected) == [])
  }

  @Test("In past keys that a window hides", arguments: TestDevice.allAndReference, poisons)
  func past(device: TestDevice, value: Float) throws {
    let clean = try PastTests.call(.bshd, .causal(.lowerRight).window(left: 6))
    var call = clean
    let past = try #require(clean.past)
    call.past = (try Self.poison(past.key, 0..<24, value), try Self.poison(past.value, 0..<24, value))
    let (found, expected) = (try device.attention(call), try device.attention(clean))
    let (output, wanted) = (try #require(found.output), try #require(expected.output))
    #expect(mismatch("output", output, wanted, Bound(1e-6)) == nil)
    #expect(found.logSumExp?.bits == expected.logSumExp?.bits)
  }
}
