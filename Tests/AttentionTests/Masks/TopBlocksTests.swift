import Attention
import AttentionTestSupport
import Testing

/// The blocks of the largest mean-pooled scores, against a search over all of them.
@Suite("Top blocks")
struct TopBlocksTests {
  static let masks: [(String, AttentionMask)] = [
    ("no mask", .none), ("lower right", .causal(.lowerRight)), ("window", .window(left: 20, right: 5)),
    ("causal, offset", .causal(.upperLeft).queryOffset(12)),
  ]

  static let calls = masks.flatMap { name, mask in
    [
      NamedCall("bhsd, \(name)", CallShape(batch: 2, heads: 4, keyHeads: 2, queries: 65, keys: 65)) { $0.mask = mask },
      NamedCall("bshd, lengths, \(name)", CallShape(.float16, form: .bshd, batch: 3, heads: 2, queries: 33, keys: 97)) {
        $0.mask = mask
        $0.keyLengths = [97, 40, 0]
        $0.scale = -0.5
      },
      NamedCall("packed, \(name)") {
        var call = try PackedTests.call(queries: [17, 0, 40], keys: [30, 9, 66])
        call.mask = mask
        return call
      },
      NamedCall("pages, \(name)") {
        var call = try PagedTests.call()
        call.mask = mask
        return call
      },
      NamedCall("past, \(name)") { try PastTests.call(.bhsd, mask) },
    ]
  }

  /// The means of the products of all pairs of a block, from the scores of the call without what hides them: the mean of
  /// products is the product of means.
  static func expected(
    _ call: AttentionCall, count: Int, queryBlock: Int, keyBlock: Int, keepingOwn: Bool
  ) throws -> [Bool] {
    var open = try call.promoted()
    open.mask = .none
    open.returning = .scores
    let problem = try AttentionProblem(call)
    let scores = try #require(try TestDevice.reference.engine().attention(open).scores).floats()
    let (Lq, Lk) = (problem.queryLength, problem.keyLength)
    let (rows, columns) = ((Lq + queryBlock - 1) / queryBlock, (Lk + keyBlock - 1) / keyBlock)
    var chosen = [Bool](repeating: false, count: problem.headCount * rows * columns)
    for head in 0..<problem.headCount {
      let sequence = problem.sequences[head / problem.queryHeads]
      for row in 0..<rows {
        let queries = row * queryBlock..<max(row * queryBlock, min((row + 1) * queryBlock, sequence.queryLength))
        var choices: [(own: Bool, score: Double, column: Int)] = []
        for column in 0..<columns {
          let keys = column * keyBlock..<max(column * keyBlock, min((column + 1) * keyBlock, sequence.keyLength))
          guard queries.contains(where: { i in keys.contains { sequence.visibleKeys(query: i).contains($0) } })
          else { continue }
          var sum = 0.0
          for i in queries { for j in keys { sum += Double(scores[(head * Lq + i) * Lk + j]) } }
          let end = min((column + 1) * keyBlock, Lk)
          let own = queries.contains { (column * keyBlock..<end).contains($0 + sequence.offset) }
          choices.append((keepingOwn && own, sum / Double(queries.count * keys.count), column))
        }
        choices.sort { ($0.own ? 1 : 0, $0.score, $1.column) > ($1.own ? 1 : 0, $1.score, $0.column) }
        for choice in choices.prefix(max(count, choices.count(where: \.own))) {
          chosen[(head * rows + row) * columns + choice.column] = true
        }
      }
    }
    return chosen
  }

  @Test("Every layout, mask and block size", arguments: calls)
  func search(named: NamedCall) throws {
    let call = try named.call()
    for (count, queryBlock, keyBlock, keepingOwn) in [
      (1, 1, 8, true), (2, 16, 16, true), (3, 8, 5, false), (2, 20, 7, true), (100, 16, 16, false),
    ] {
      let mask = try BlockMask.topBlocks(
        count, of: call, queryBlock: queryBlock, keyBlock: keyBlock, keepingOwn: keepingOwn)
      let expected = try Self.expected(
        call, count: count, queryBlock: queryBlock, keyBlock: keyBlock, keepingOwn: keepingOwn)
      #expect(mask.visible.floats().map { $0 != 0 } == expected, "\(count) of \(queryBlock)×\(keyBlock)")
      var masked = call
      masked.mask = call.mask.blocks(mask)
      _ = try AttentionProblem(masked)
    }
  }

  @Test("Equal scores: the lower block; NaN last")
  func ties() throws {
    var call = try CallShape(heads: 1, queries: 4, keys: 50, D: 8).call()
    call.scale = 0
    func drawing(_ count: Int) throws -> [String] {
      BlockPatternTests.drawing(
        try .topBlocks(count, of: call, queryBlock: 4, keyBlock: 10, keepingOwn: false))
    }
    #expect(try drawing(2) == ["■■···"])
    call.operands = .separate(
      query: call.query, key: try HiddenTests.poison(call.key, 10..<11, .nan), value: call.value)
    #expect(try drawing(2) == ["■·■··"])
    #expect(try drawing(4) == ["■·■■■"])
    #expect(try drawing(5) == ["■■■■■"])
  }

  @Test("All blocks chosen is the call without a block mask", arguments: TestDevice.allAndReference)
  func all(device: TestDevice) throws {
    var call = try CallShape(heads: 4, keyHeads: 2, queries: 65, keys: 129).call()
    call.mask = .causal(.lowerRight)
    let expected = try device.engine().attention(call)
    call.mask = call.mask.blocks(try .topBlocks(99, of: call, queryBlock: 16, keyBlock: 16))
    #expect(try device.engine().attention(call).differences(from: expected) == [])
  }
}
