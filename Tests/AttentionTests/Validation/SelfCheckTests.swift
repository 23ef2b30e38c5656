import Attention
import Testing

struct SelfCheckTests {
  /// Fused and decode kernels are other programs: one may be right where the other is not.
  @Test func theQuickCheckPrefillsAndDecodes() throws {
    let decodes = try SelfCheck.cases(quick: true).map { try AttentionProblem($0.call).isDecoding }
    #expect(decodes.contains(true))
    #expect(decodes.contains(false))
  }
}
