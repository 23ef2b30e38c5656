import Attention
import AttentionTestSupport
import Testing

@Suite("Parts: queries of a head that one worker computes with keys that it packs by itself")
struct CPUPartTests {
  private static func sequence(
    _ queries: Int, _ keys: Int, _ mask: AttentionMask = .none
  ) -> AttentionSequence {
    AttentionSequence(queryLength: queries, keyLength: keys, mask: mask)
  }

  private static let sequences = [
    sequence(1, 1), sequence(128, 128), sequence(100, 2048), sequence(1000, 1000, .causal(.lowerRight)),
    sequence(5000, 5000, .causal(.lowerRight).window(left: 256)),
    sequence(5000, 7000, .none.window(left: 300, right: 77)),
    sequence(5000, 2000, .causal(.upperLeft).window(left: 100)), sequence(300, 0),
    sequence(4000, 9000, .causal(.lowerRight).window(left: 0)),
  ]

  @Test("Parts cover the queries in order, and hold whole tiles of all the keys that these see", arguments: sequences)
  func parts(sequence: AttentionSequence) throws {
    for (rows, keys) in [(144, 256), (128, 256), (72, 256)] {
      let parts = try #require(sequence.parts(tileRows: rows, tileKeys: keys, mostKeys: 2048))
      let all = sequence.packedKeys(tile: keys)
      #expect(parts.flatMap(\.queries) == Array(0..<sequence.queryLength))
      for part in parts {
        #expect(part.queries.lowerBound % rows == 0 && part.keys.count <= 2048)
        #expect(part.keys.lowerBound % keys == 0)
        #expect(part.keys.upperBound % keys == 0 || part.keys.upperBound == all.upperBound || part.keys.isEmpty)
        let visible = sequence.visibleKeys(queries: part.queries)
        #expect(visible.isEmpty || part.keys.clamped(to: visible) == visible)
      }
    }
  }

  @Test("No parts where they would pack most keys again and again")
  func noParts() {
    for sequence in [
      Self.sequence(5000, 5000), Self.sequence(5000, 5000, .causal(.lowerRight)),
      Self.sequence(5000, 5000, .causal(.lowerRight).window(left: 1800)), Self.sequence(1, 5000),
    ] {
      #expect(sequence.parts(tileRows: 128, tileKeys: 256, mostKeys: 2048) == nil)
    }
  }

  /// Long enough for two parts a head.
  private static let window = NamedCall(
    "a window", CallShape(.float32, heads: 8, keyHeads: 4, queries: 3400, keys: 3400, D: 64)
  ) { $0.mask = .causal(.lowerRight).window(left: 100) }

  @Test("In parts or not, by the number of threads: the same bits", arguments: InstructionSet.available)
  func sameBits(set: InstructionSet) throws {
    var call = try Self.window.call().inOnePass(true)
    for poisoned in [false, true] {
      if poisoned {
        // In a tile of keys of which one part's queries see the first and the next part's the last. (With AMX a part ends with a tile.)
        let value = try HiddenTests.poison(call.value, 3060..<3061, .infinity)
        call.operands = .separate(query: call.query, key: call.key, value: value)
      }
      let results =
        try [1, 2, 64].map { threads in
          let engine = try AttentionEngine(device: .named(["cpu:\(set.rawValue)"]), threads: threads)
          guard case .cpu(let plan) = try #require(try engine.plan(AttentionProblem(call)).parts.first).work else {
            return nil
          }
          #expect((plan.partKeys == nil) == (threads == 64))
          return try engine.attention(call)
        } as [AttentionResult?]
      let first = try #require(results[0])
      for result in results { #expect(try #require(result).differences(from: first) == []) }
    }
  }

  @Test("What walks a head's keys again has them packed for all")
  func insight() throws {
    var call = try Self.window.call().inOnePass(true)
    call.returning.insert(.received)
    let engine = try AttentionEngine(device: .named(["cpu"]), threads: 1)
    guard case .cpu(let plan) = try #require(try engine.plan(AttentionProblem(call)).parts.first).work else {
      Issue.record("another plan")
      return
    }
    #expect(plan.partKeys == nil)
  }
}
