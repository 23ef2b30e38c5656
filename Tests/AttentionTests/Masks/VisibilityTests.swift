import Attention
import AttentionTestSupport
import Testing

/// What is visible, drawn: the reference could be wrong in the same way as a kernel.
@Suite("Visibility, drawn")
struct VisibilityTests {
  struct Drawing: Sendable, CustomStringConvertible {
    let description: String
    let mask: AttentionMask
    var keyLength: Int?
    let rows: [String]

    init(_ description: String, _ mask: AttentionMask, keyLength: Int? = nil, _ rows: String) {
      self.description = description
      self.mask = mask
      self.keyLength = keyLength
      self.rows = rows.split(separator: "/").map(String.init)
    }
  }

  static let drawings = [
    Drawing("upper left 2×5", .causal(.upperLeft), "■····/■■···"),
    Drawing("lower right 2×5", .causal(.lowerRight), "■■■■·/■■■■■"),
    Drawing("upper left 5×2", .causal(.upperLeft), "■·/■■/■■/■■/■■"),
    Drawing("lower right 5×2", .causal(.lowerRight), "··/··/··/■·/■■"),
    Drawing("offset 1 overrides lower right", .causal(.lowerRight).queryOffset(1), "■■···/■■■··"),
    Drawing("offset −1", .causal(.upperLeft).queryOffset(-1), "·····/■····"),
    Drawing("window 1, 0 is lower right", .window(left: 1, right: 0), "··■■·/···■■"),
    Drawing("window 1, 1 with offset 0", .window(left: 1, right: 1).queryOffset(0), "■■···/■■■··"),
    Drawing("window 0, 2 of causal", .causal(.upperLeft).window(left: 0, right: 2), "■····/·■···"),
    Drawing("window 1, open of causal", .causal(.lowerRight).window(left: 1), "··■■·/···■■"),
    Drawing("window open, 0 on the left", .window(right: 0).queryOffset(0), "■····/■■···"),
    Drawing("key length 3, lower right", .causal(.lowerRight), keyLength: 3, "■■···/■■■··"),
    Drawing("key length 3, upper left", .causal(.upperLeft), keyLength: 3, "■····/■■···"),
    Drawing("key length 1, lower right", .causal(.lowerRight), keyLength: 1, "·····/■····"),
    Drawing("key length 3, window 1, 0", .window(left: 1, right: 0), keyLength: 3, "■■···/·■■··"),
    Drawing("key length 0", .none, keyLength: 0, "·····/·····"),
  ]

  @Test("Scores, weights and dead rows", arguments: TestDevice.allAndReference, drawings)
  func drawn(device: TestDevice, drawing: Drawing) throws {
    let keys = try #require(drawing.rows.first).count
    var call = try CallShape(heads: 1, queries: drawing.rows.count, keys: keys, D: 8).call()
    call.mask = drawing.mask
    call.keyLengths = drawing.keyLength.map { [$0] }
    let result = try device.attention(call)
    let scores = try #require(result.scores).floats()
    let weights = try #require(result.weights).floats()
    let output = try #require(result.output).floats()
    for (i, row) in drawing.rows.enumerated() {
      let found = (0..<keys).map { scores[i * keys + $0] == -.infinity ? "·" : "■" }.joined()
      #expect(found == row, "row \(i)")
      let seen = (0..<keys).map { weights[i * keys + $0] > 0 ? "■" : "·" }.joined()
      #expect(seen == row, "weights of row \(i)")
      if !row.contains("■") {
        #expect(result.logSumExp?.element(0, 0, i) == -.infinity)
        #expect(output[i * 8..<i * 8 + 8].allSatisfy { $0 == 0 })
      }
    }
  }
}
