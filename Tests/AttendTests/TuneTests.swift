import Foundation
import Testing

@Suite(.enabled(if: Environment.hasOpenCLDevice, "no OpenCL device"))
struct TuneTests {
  private static let shape = ["--heads", "1", "--query-length", "33", "--head-dimension", "8", "--dtype", "f32"]
  private static let tune =
    ["tune", "--device", "opencl", "--minimum-seconds", "0", "--candidates", "2"] + shape
  private static let plan = ["plan", "--json", "--device", "opencl"] + shape

  private static func environment(_ cache: TemporaryFolder) -> [String: String?] {
    ["XDG_CACHE_HOME": cache.url.path, "ATTENTION_CACHE": nil, "ATTENTION_TUNING": nil]
  }

  /// The tuning files of a cache.
  private static func files(_ cache: TemporaryFolder) throws -> [URL] {
    let folder = cache["swift-attention"]
    guard FileManager.default.fileExists(atPath: folder.path) else { return [] }
    return try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil).filter {
      $0.lastPathComponent.hasPrefix("tuning-")
    }
  }

  private func object(_ line: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
  }

  private func source(_ command: Command) throws -> String? {
    let parts = try object(try #require(command.lines.first))["parts"] as? [[String: Any]]
    return (parts?.first?["tiles"] as? [String: Any])?["source"] as? String
  }

  @Test func whatIsFoundIsKeptAndUsed() throws {
    let cache = try TemporaryFolder()
    let environment = Self.environment(cache)
    #expect(try source(try Command(Self.plan, environment: environment)) == "table")

    let dry = try Command(Self.tune + ["--dry-run", "--candidates", "1"], environment: environment)
    #expect(dry.status == 0, "\(dry.errors)")
    #expect(dry.output.contains("1.00×  the table's"))
    #expect(try Self.files(cache).isEmpty)

    let tuned = try Command(Self.tune + ["--json"], environment: environment)
    #expect(tuned.status == 0, "\(tuned.errors)")
    #expect(tuned.errors.isEmpty)
    let row = try object(try #require(tuned.lines.first))
    #expect(
      row.keys.sorted() == [
        "device", "device_name", "driver", "dtype", "head_dimension", "kernel", "lengths", "mask", "problem", "ratio",
        "size_names", "sizes", "table_sizes", "table_tiles", "tiles", "trials", "value_dimension",
      ])
    #expect(row["lengths"] as? String == "short" && row["mask"] as? String == "open")
    let sizes = try #require(row["sizes"] as? [Int])
    #expect(sizes.count == (row["size_names"] as? [String])?.count)
    let trials = try #require(row["trials"] as? [[String: Any]])
    #expect(trials.count == 2)
    for trial in trials {
      #expect(trial.keys.sorted() == ["error", "outcome", "ratio", "reason", "sizes", "tiles"])
      let outcome = try #require(trial["outcome"] as? String)
      #expect(["best", "slower", "unusable"].contains(outcome))
      #expect((trial["ratio"] as? Double).map { $0 > 0 } ?? (outcome == "unusable"))
    }

    let file = try #require(try Self.files(cache).first)
    let text = try String(contentsOf: file, encoding: .utf8)
    #expect(text.contains(" F32 8 8 open short "))
    #expect(text.hasSuffix(sizes.map { "\($0)" }.joined(separator: " ") + "\nend 1\n"))

    let plan = try Command(Self.plan, environment: environment)
    #expect(try source(plan) == "tuned")
    #expect(plan.errors.isEmpty)
    let words = try Command(Self.plan.filter { $0 != "--json" }, environment: environment)
    #expect(words.output.contains(", tuned\n"))
    for variable in ["ATTENTION_TUNING", "ATTENTION_CACHE"] {
      let off = try Command(Self.plan, environment: environment.merging([variable: "off"]) { $1 })
      #expect(try source(off) == "table", "\(variable)")
      let nowhere = try Command(Self.tune, environment: environment.merging([variable: "off"]) { $1 })
      #expect(nowhere.status == 2)
      #expect(nowhere.errors.contains("there is no place to keep what is found"))
    }

    try String(text.dropLast(6)).write(to: file, atomically: false, encoding: .utf8)
    let damaged = try Command(Self.plan, environment: environment)
    #expect(damaged.status == 0)
    #expect(try source(damaged) == "table")
    #expect(damaged.errors.split(separator: "\n").count == 1)
    #expect(damaged.errors.hasPrefix("attend: \(file.path): tuning is ignored: found '"))
  }

  @Test func theReferenceHasNothingToTune() throws {
    let command = try Command(["tune", "--device", "cpu"])
    #expect(command.status == 3)
    #expect(command.errors.contains("expected an OpenCL device"))
  }

  @Test(arguments: [[], ["--device", "auto"], ["--device", "opencl"]])
  func withoutOpenCLItSaysSo(device: [String]) throws {
    let command = try Command(["tune"] + device, environment: Environment.withoutOpenCL(try TemporaryFolder()))
    #expect(command.status == 3)
    #expect(command.errors == "attend: expected an OpenCL device to tune, found none; the CPU backends have no tiles\n")
  }

  /// It is said before the search, whose rows would be on stdout.
  @Test func aFolderThatCannotKeepWhatIsFoundIsRefused() throws {
    let cache = try TemporaryFolder()
    let folder = cache["swift-attention"]
    let environment = Self.environment(cache)
    try FileManager.default.createDirectory(
      at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o777])
    try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: folder.path)
    let open = try Command(Self.tune, environment: environment)
    #expect(open.status == 2)
    #expect(open.output.isEmpty)
    let found = "\(folder.path): expected a folder that nobody but you may write to, found permissions 777\n"
    #expect(open.errors.hasSuffix("attend: " + found))
    try FileManager.default.removeItem(at: folder)
    try Data().write(to: folder)
    let file = try Command(Self.tune, environment: environment)
    #expect(file.status == 2)
    #expect(file.output.isEmpty)
    #expect(file.errors.hasSuffix("attend: \(folder.path): expected a folder that can be written to, found a file\n"))
    #expect(try Command(Self.tune + ["--dry-run", "--candidates", "1"], environment: environment).status == 0)
  }

  @Test(arguments: [["--minimum-seconds", "-1"], ["--candidates", "0"], ["--kernel", "none"]])
  func wrongUsageIsSaid(options: [String]) throws {
    let command = try Command(["tune"] + options)
    #expect(command.status == 2)
    #expect(command.errors.contains(options[0]))
  }
}
