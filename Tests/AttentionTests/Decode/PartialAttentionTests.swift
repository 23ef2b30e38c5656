import Attention
import AttentionTestSupport
import Testing

@Suite("Merging partial attention")
struct PartialAttentionTests {
  /// Keys cut in three, one part of which some queries do not see at all.
  @Test("Parts of disjoint keys are the whole", arguments: TensorLayout.allCases)
  func parts(layout: TensorLayout) throws {
    let form = CallShape.Form(rawValue: layout.rawValue) ?? .bhsd
    var call = try CallShape(
      form: form, batch: layout == .thd ? 1 : 2, heads: 4, keyHeads: 2, queries: 5, keys: 60, D: 16, Dv: 8
    ).call()
    call.returning = [.output, .logSumExp]
    call.mask = .causal(.lowerRight).queryOffset(38)
    let engine = try TestDevice.reference.engine()
    let whole = try engine.attention(call)
    let parts = try [0..<30, 30..<41, 41..<60].map { keys in
      var part = call
      let visible = (0..<60).map(keys.contains)
      part.mask = call.mask.tensor(try Tensor(visible, shape: [60]))
      let result = try engine.attention(part)
      return PartialAttention(
        output: try #require(result.output), logSumExp: try #require(result.logSumExp), layout: layout)
    }
    #expect(parts[2].logSumExp.floats().contains(-.infinity))
    let left = try PartialAttention.merged([try .merged([parts[0], parts[1]]), parts[2]])
    let right = try PartialAttention.merged([parts[0], try .merged([parts[1], parts[2]])])
    for merged in [try PartialAttention.merged(parts), left, right] {
      #expect(mismatch("output", merged.output, whole.output, Bound(1e-6)) == nil)
      #expect(mismatch("log-sum-exp", merged.logSumExp, whole.logSumExp, Bound(1e-6, growsWithMagnitude: true)) == nil)
    }
  }

  @Test("What does not fit together")
  func errors() throws {
    let part = PartialAttention(
      output: try Tensor([1, 2, 3, 4], shape: [1, 1, 2, 2]), logSumExp: try Tensor([0, -.infinity], shape: [1, 1, 2]))
    #expect(throws: AttentionError.self) { try PartialAttention.merged([]) }
    var other = part
    other.logSumExp = try Tensor([0], shape: [1, 1, 1])
    #expect(throws: AttentionError.self) { try PartialAttention.merged([part, other]) }
    other = part
    other.layout = .bshd
    #expect(throws: AttentionError.self) { try PartialAttention.merged([part, other]) }
    // A row that nobody sees is zeros.
    #expect(try PartialAttention.merged([part, part]).output.floats() == [1, 2, 0, 0])
  }
}
