import Attention
import AttentionTestSupport
import Testing

/// A query that sees no key gives zeros and −∞, never NaN, with a sink or without.
@Suite("Queries that see no key")
struct DeadRowTests {
  struct Dead: Sendable, CustomStringConvertible {
    let description: String
    /// The rows that see nothing.
    let rows: Range<Int>
    let apply: @Sendable (inout AttentionCall) throws -> Void
  }

  /// 70 queries, 65 keys.
  static let cases = [
    Dead(description: "causal, lower right", rows: 0..<5) { $0.mask = .causal(.lowerRight) },
    Dead(description: "offset far before the keys", rows: 0..<70) { $0.mask = .causal(.upperLeft).queryOffset(-500) },
    Dead(description: "window past the keys", rows: 60..<70) { $0.mask = .window(left: 3).queryOffset(8) },
    Dead(description: "key length 0", rows: 0..<70) { $0.keyLengths = [0] },
    Dead(description: "boolean mask", rows: 33..<34) {
      $0.mask = .tensor(try Tensor((0..<70).map { $0 != 33 }, shape: [70, 1]))
    },
    Dead(description: "boolean mask and a window", rows: 10..<11) {
      $0.mask = .window(left: 9, right: 2).queryOffset(0)
        .tensor(try Tensor((0..<70 * 65).map { $0 / 65 != 10 || $0 % 65 > 12 }, shape: [70, 65]))
    },
    Dead(description: "additive mask", rows: 64..<66) {
      $0.mask = .tensor(
        try Tensor((0..<70 * 65).map { (64..<66).contains($0 / 65) ? -.infinity : 0 }, shape: [70, 65], as: .bfloat16))
    },
    Dead(description: "mask of one element", rows: 0..<70) { $0.mask = .tensor(try Tensor([false], shape: [1])) },
  ]

  @Test("Zeros and −∞", arguments: TestDevice.allAndReference, cases)
  func dead(device: TestDevice, dead: Dead) throws {
    for sinks in [nil, [Float(1), -2], [.infinity, .nan], [-.infinity, 3]] as [[Float]?] {
      for poisoned in [false, true] {
        var call = try CallShape(queries: 70, keys: 65, D: 20).call()
        try dead.apply(&call)
        call.sinks = sinks
        if poisoned {
          // What is hidden cannot matter, even in every key and value.
          let nan = try HiddenTests.poison(call.key, 0..<65, .nan)
          call.operands = .separate(query: call.query, key: nan, value: nan)
        }
        let result = try device.attention(call)
        let (output, lse) = (try #require(result.output).floats(), try #require(result.logSumExp).floats())
        let weights = try #require(result.weights).floats()
        for row in lse.indices where dead.rows.contains(row % 70) {
          #expect(lse[row] == -.infinity, "row \(row), sinks \(sinks ?? [])")
          #expect(output[row * 20..<(row + 1) * 20].allSatisfy { $0 == 0 }, "row \(row)")
          #expect(weights[row * 65..<(row + 1) * 65].allSatisfy { $0 == 0 }, "row \(row)")
        }
        // With a sink or poison others may be infinite too.
        if sinks == nil && !poisoned {
          for row in lse.indices where !dead.rows.contains(row % 70) { #expect(lse[row].isFinite, "row \(row)") }
        }
      }
    }
  }
}
