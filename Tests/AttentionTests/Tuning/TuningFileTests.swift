import Attention
import Foundation
import OpenCL
import Testing

@Suite("Tuning files")
struct TuningFileTests {
  static let device = DeviceInfo(
    name: "A GPU", vendor: "Maker", platformName: "A\nplatform", driverVersion: "1.2", kind: .gpu, computeUnits: 4)

  static let problem = ProblemClass(
    family: .fusedGPU, elementType: .float16, headDimension: 64, valueDimension: 32, mask: .causal, lengths: .long)

  /// A file with a row of each family.
  static func file() throws -> TuningFile {
    var file = TuningFile(device)
    for (family, tiles) in try tiles() {
      var problem = problem
      problem.family = family
      file.add(TuningFile.Row(problem, tiles, ratio: 0.875))
    }
    return file
  }

  static func tiles() throws -> [(KernelTiles.Family, KernelTiles)] {
    try [
      (.staged, .staged(#require(StagedTiles.candidates(for: .gpu).last))),
      (.fusedCPU, .fusedCPU(#require(FusedCPUTiles.candidates(vectorWidth: 8).last))),
      (
        .fusedGPU,
        .fusedGPU(#require(FusedGPUTiles.candidates(vendor: .other, headDimension: 64, valueDimension: 32).last))
      ),
    ]
  }

  @Test("come back as they were, with the tiles of each family")
  func roundTrip() throws {
    let file = try Self.file()
    let read = try TuningFile(file.text, of: Self.device)
    #expect(read == file)
    let table = read.table(vendor: .other)
    #expect(table.count == 3)
    for (family, tiles) in try Self.tiles() {
      var problem = Self.problem
      problem.family = family
      #expect(table[problem] == tiles)
      problem.lengths = .short
      #expect(table[problem] == nil)
    }
  }

  @Test("hold one row a class: the last")
  func replace() throws {
    var file = try Self.file()
    let row = TuningFile.Row(Self.problem, try Self.tiles()[2].1, ratio: 0.5)
    file.add(row)
    #expect(file.rows.count == 3)
    #expect(file.rows.last == row)
  }

  @Test("Every line that is missing, cut or changed is noticed")
  func damage() throws {
    let text = try Self.file().text
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    func read(_ lines: [String]) throws { _ = try TuningFile(lines.joined(separator: "\n"), of: Self.device) }
    try read(lines)
    for (index, line) in lines.enumerated() where !line.isEmpty && !line.hasPrefix("#") {
      var without = lines
      without.remove(at: index)
      #expect(throws: TuningFile.Damage.self, "without '\(line)'") { try read(without) }
      var nonsense = lines
      nonsense[index] = "x" + line
      #expect(throws: TuningFile.Damage.self, "'x\(line)'") { try read(nonsense) }
      #expect(throws: TuningFile.Damage.self, "up to '\(line)'") { try read(Array(lines[..<index])) }
    }
    for text in ["", "\n", "\0\u{ffff}", String(repeating: "1 ", count: 1000)] {
      #expect(throws: TuningFile.Damage.self) { try TuningFile(text, of: Self.device) }
    }
  }

  @Test("of another device or driver are told from one's own")
  func foreign() throws {
    let text = try Self.file().text
    for change in [
      { $0.name = "B" }, { $0.driverVersion = "1.3" }, { $0.platformVersion = "OpenCL 3.0" }, { $0.vendor = "" },
    ] as [(inout DeviceInfo) -> Void] {
      var other = Self.device
      change(&other)
      #expect(TuningFile(other).name != TuningFile(Self.device).name)
      #expect(throws: TuningFile.Damage.self) { try TuningFile(text, of: other) }
    }
  }

  @Test("Rows of other kernels, and of a wrong number of sizes, count for nothing")
  func stale() throws {
    var file = try Self.file()
    var row = TuningFile.Row(Self.problem, try Self.tiles()[2].1, ratio: 0.5)
    row.kernels = "0123456789abcdef"
    file.add(row)
    #expect(file.staleRows == 1)
    #expect(file.table(vendor: .other).count == 2)
    row.kernels = KernelTiles.Family.fusedGPU.kernelDigest
    row.sizes.removeLast()
    file.add(row)
    #expect(file.staleRows == 0)
    #expect(file.table(vendor: .other).count == 2)
    #expect(try TuningFile(file.text, of: Self.device) == file)
  }
}
