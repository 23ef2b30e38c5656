import Attention
import AttentionTestSupport
import Testing

/// Few queries have kernels of their own, which split the keys and merge: a row may see nothing of a split, or of any.
@Suite("Few queries that see little")
struct FewQueriesTests {
  static let keys = 600
  static let hidden = 100..<110

  /// Of three queries the first sees the later keys, the second none, the third all but the hidden ones.
  static func isVisible(_ i: Int, _ j: Int) -> Bool { i != 1 && !hidden.contains(j) && (i == 2 || j >= 300) }

  @Test("None for a row, poison hidden from all", arguments: TestDevice.allAndReference, HiddenTests.poisons)
  func littleIsSeen(device: TestDevice, poison: Float) throws {
    let visible = (0..<3).flatMap { i in (0..<Self.keys).map { Self.isVisible(i, $0) } }
    var call = try CallShape(heads: 4, keyHeads: 2, queries: 3, keys: Self.keys, D: 32).call().inOnePass(true)
    call.mask = .tensor(try Tensor(visible, shape: [3, Self.keys]))
    call.operands = .separate(
      query: call.query, key: try HiddenTests.poison(call.key, Self.hidden, poison),
      value: try HiddenTests.poison(call.value, Self.hidden, poison))
    let result = try device.attention(call)
    let (output, logSumExp) = (try #require(result.output), try #require(result.logSumExp))
    for head in 0..<4 {
      #expect(logSumExp.element(0, head, 1) == -.infinity)
      for d in 0..<32 { #expect(output.element(0, head, 1, d) == 0) }
    }
    #expect(try Expectation(call, naive: false).misses(result) == [])
  }
}
