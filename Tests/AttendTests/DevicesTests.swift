import Foundation
import Testing

@Suite struct DevicesTests {
  private struct Row: Decodable {
    let device: String
    let deviceName: String
    let backend: String
    let deviceClass: String
    let driver: String
    let computeUnits: Int
    let supports: [String]
    let selfCheck: String
  }

  private func rows(_ command: Command) throws -> [Row] {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try command.lines.map { try decoder.decode(Row.self, from: Data($0.utf8)) }
  }

  @Test func everyDevicePassesItsSelfCheck() throws {
    let command = try Command(["devices", "--json"])
    #expect(command.status == 0)
    let rows = try rows(command)
    #expect(rows.map(\.device).suffix(2) == ["cpu", "reference"])
    #expect(rows.contains { $0.backend == "opencl" } == Environment.hasOpenCLDevice)
    for row in rows {
      #expect(row.selfCheck == "passed", "\(row.device)")
      #expect(!row.deviceName.isEmpty && !row.driver.isEmpty && row.computeUnits > 0)
      #expect(row.supports.contains("bf16"))
    }
  }

  @Test func theTableNamesEveryDevice() throws {
    let table = try Command(["devices"])
    #expect(table.status == 0)
    #expect(table.lines.first?.hasPrefix("device") == true)
    #expect(table.lines.contains { $0.hasPrefix("reference") && $0.hasSuffix("passed") })
  }

  @Test func withoutOpenCLItSaysSo() throws {
    let folder = try TemporaryFolder()
    let command = try Command(["devices"], environment: Environment.withoutOpenCL(folder))
    #expect(command.status == 0)
    #expect(command.output.contains("There is no OpenCL device"))
    #expect(command.lines.contains { $0.hasPrefix("cpu") && $0.hasSuffix("passed") })
    let json = try Command(["devices", "--json"], environment: Environment.withoutOpenCL(folder))
    #expect(try rows(json).map(\.device) == ["cpu", "reference"])
    #expect(json.errors.hasPrefix("attend: There is no OpenCL device"))
  }
}
