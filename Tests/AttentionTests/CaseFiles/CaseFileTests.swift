import Attention
import AttentionTestSupport
import TensorFiles
import Testing

/// Calls with results computed elsewhere, by PyTorch in float64: the reference is on trial here too.
@Suite("Case files")
struct CaseFileTests {
  static let names = Fixture.names(in: "cases")

  @Test("All of them are there")
  func count() {
    #expect(Self.names.count == 20)
  }

  @Test("Expected results", arguments: TestDevice.allAndReference, names)
  func expected(device: TestDevice, name: String) throws {
    let file = try AttentionCaseFile(path: Fixture.path("cases", name))
    let checks = file.check(try device.attention(file.call))
    #expect(checks.map(\.name) == ["log_sum_exp", "output"])
    for check in checks { #expect(check.outcome == .passed, "\(check.name)") }
  }
}
