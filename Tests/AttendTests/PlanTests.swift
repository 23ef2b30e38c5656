import Foundation
import Testing

@Suite struct PlanTests {
  @Test func textAndJSONTellTheSamePlan() throws {
    let shape = ["--heads", "4", "--query-length", "256", "--dtype", "f16", "--causal", "--device", "auto"]
    let text = try Command(["plan"] + shape)
    #expect(text.status == 0)
    #expect(text.output.contains("heads 0 to 3"))

    let json = try Command(["plan", "--json"] + shape)
    #expect(json.status == 0)
    let plan = try #require(try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
    // 4 heads × (256 · 257 / 2) pairs × 2 · (64 + 64).
    #expect(plan["flops"] as? Int == 4 * 256 * 257 / 2 * 256)
    let parts = try #require(plan["parts"] as? [[String: Any]])
    #expect(parts.compactMap { $0["head_count"] as? Int }.reduce(0, +) == 4)
    #expect(parts[0]["kernel"] as? String == "fused")
  }

  @Test func valuesSeparatedByCommasMakeAGrid() throws {
    let command = try Command(["plan", "--json", "--query-length", "16,32", "--dtype", "f32,bf16", "--device", "cpu"])
    #expect(command.lines.count == 4)
  }

  @Test func theCPUsPlanNamesItsInstructionSetAndPasses() throws {
    let shape = ["--device", "cpu:baseline", "--key-length", "600", "--head-dimension", "64", "--dtype", "f32"]
    let command = try Command(["plan", "--query-length", "1,600"] + shape, environment: ["ATTENTION_THREADS": "3"])
    #expect(command.status == 0, "\(command.errors)")
    #expect(command.lines.contains { $0.contains("decode: baseline, tiles") })
    #expect(command.lines.contains { $0.contains("fused: baseline, tiles") })
    #expect(command.lines.count { $0.contains("3 threads") } == 2)
  }
}
