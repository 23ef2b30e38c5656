import Foundation
import Testing

@Suite struct VerifyTests {
  @Test func filesThatHoldPass() throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"])
    let command = try Command(["verify", folder["a.safetensors"].path])
    #expect(command.status == 0, "\(command.errors)")
    #expect(command.lines.count == 3)
    #expect(command.lines.last?.hasPrefix("1 of 1 cases passed on ") == true)
  }

  @Test func aMissLeavesWithOne() throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"])
    try CaseFiles.write(to: folder["b.safetensors"], error: 3e-5)
    let command = try Command([
      "verify", folder["a.safetensors"].path, folder["b.safetensors"].path, "--device", "reference", "--json",
    ])
    #expect(command.status == 1)
    struct Row: Decodable {
      let `case`: String
      let result: String
      let maxAbsError: Double
      let bound: Double
    }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let rows = try command.lines.map { try decoder.decode(Row.self, from: Data($0.utf8)) }
    #expect(rows.map(\.result) == ["passed", "failed"])
    #expect(rows.allSatisfy { ($0.maxAbsError <= $0.bound) == ($0.result == "passed") })
    #expect(command.errors.contains("1 of 2 cases passed"))
  }

  @Test func aFileThatCannotBeReadIsBadInput() throws {
    let folder = try TemporaryFolder()
    let path = folder["a.safetensors"].path
    try Data("not a case".utf8).write(to: folder["a.safetensors"])
    let command = try Command(["verify", path])
    #expect(command.status == 2)
    #expect(command.output.components(separatedBy: path).count == 2, "the path is there once")
    #expect(command.output.contains("error: expected "))
  }

  /// JSON has no infinity: a number that is none is null.
  @Test func anErrorWithoutBoundIsNull() throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"], error: .infinity)
    let command = try Command(["verify", folder["a.safetensors"].path, "--json"])
    #expect(command.status == 1)
    #expect(command.output.contains("\"max_abs_error\":null,"))
  }

  @Test func theSummaryIsOnStdoutWhateverCameOut() throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"], error: 3e-5)
    try Data("not a case".utf8).write(to: folder["b.safetensors"])
    for (names, status) in [(["a"], 1), (["a", "b"], 2)] as [([String], Int32)] {
      let command = try Command(["verify"] + names.map { folder["\($0).safetensors"].path })
      #expect(command.status == status)
      #expect(command.lines.count == names.count + 2)
      #expect(command.lines.last?.hasPrefix("0 of \(names.count) cases passed on ") == true)
      #expect(!command.errors.contains("cases passed"))
    }
  }

  @Test(arguments: ["cpu", "cpu:baseline", "auto"] + (Environment.hasOpenCLDevice ? ["opencl"] : []))
  func theBuiltInGridPasses(device: String) throws {
    let command = try Command(["verify", "--device", device])
    #expect(command.status == 0, "\(command.output)\(command.errors)")
    #expect(command.lines.count > 30)
  }
}
