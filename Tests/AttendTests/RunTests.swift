import Foundation
import TensorFiles
import Testing

@Suite struct RunTests {
  @Test(arguments: ["auto", "reference", "cpu"])
  func computesWhatTheCaseAsksFor(device: String) throws {
    let folder = try TemporaryFolder()
    let expected = try CaseFiles.write(to: folder["a.safetensors"])
    let command = try Command([
      "run", folder["a.safetensors"].path, "-o", folder["b.safetensors"].path, "--device", device,
    ])
    #expect(command.status == 0, "\(command.errors)")
    #expect(command.output.isEmpty)
    let file = try Safetensors(path: folder["b.safetensors"].path)
    #expect(file.entries.map(\.name).sorted() == ["log_sum_exp", "output", "scores", "weights"])
    let pairs = [
      ("output", expected.output), ("log_sum_exp", expected.logSumExp), ("weights", expected.weights),
      ("scores", expected.scores),
    ]
    for (name, tensor) in pairs {
      let found = try file.tensor(name)
      #expect(found.shape == tensor?.shape)
      let differences = zip(found.floats(), try #require(tensor).floats()).map { $0 == $1 ? 0 : abs($0 - $1) }
      #expect(differences.allSatisfy { $0 < 1e-5 }, "\(name)")
    }
  }

  @Test func aFileThatFailsDoesNotStopTheOthers() throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"])
    try CaseFiles.write(to: folder["c.safetensors"], seed: 2)
    let whole = try Data(contentsOf: folder["a.safetensors"])
    try whole.prefix(whole.count / 2).write(to: folder["b.safetensors"])
    let files = ["a", "b", "missing", "c"].map { folder["\($0).safetensors"].path }
    let command = try Command(["run"] + files + ["--output-directory", folder["out"].path, "--device", "cpu"])
    #expect(command.status == 2)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder["out"].path).sorted() == [
        "a.safetensors", "c.safetensors",
      ])
    for file in files[1...2] { #expect(command.errors.contains("attend: \(file): ")) }
    #expect(command.errors.contains("2 of 4 files failed"))
  }

  @Test func anOutputDirectoryThatCannotBeSaysWhatIsThere() throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"])
    try Data().write(to: folder["file"])
    let file = folder["file"].path
    for (path, found) in [(file, "a file"), (file + "/b/c", "nothing, and a file at \(file)")] {
      let command = try Command(["run", folder["a.safetensors"].path, "--output-directory", path])
      #expect(command.status == 2)
      #expect(command.errors == "attend: \(path): expected a folder that can be written to, found \(found)\n")
    }
  }

  @Test(arguments: [",", "", "cpu,,reference", "auto,cpu"])
  func devicesThatAreNoneAreRefused(device: String) throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"])
    let files = [folder["a.safetensors"].path, "-o", folder["b.safetensors"].path]
    for command in [
      try Command(["run"] + files + ["--device", device]), try Command(["bench", "--device", device]),
      try Command(["run"] + files, environment: ["ATTENTION_DEVICE": device.isEmpty ? "," : device]),
    ] {
      #expect(command.status == 2)
      #expect(
        command.errors.contains(device == "auto,cpu" ? "expected auto alone" : "expected names with commas between"))
    }
  }

  @Test func theCaseFileIsNotOverwritten() throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"])
    let before = try Data(contentsOf: folder["a.safetensors"])
    let command = try Command(["run", "a.safetensors", "--output-directory", "."], directory: folder.url)
    #expect(command.status == 2)
    #expect(try Data(contentsOf: folder["a.safetensors"]) == before)
    #expect(try folder.names == ["a.safetensors"])
  }

  @Test func aNamedDeviceThatIsNotThereIsAnError() throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"])
    for device in ["no such device", "opencl:97:0", "opencl"] {
      let command = try Command(
        ["run", folder["a.safetensors"].path, "-o", folder["b.safetensors"].path, "--device", device],
        environment: Environment.withoutOpenCL(try TemporaryFolder()))
      #expect(command.status == 3, "\(device)")
      #expect(command.errors.contains("no device matches '\(device)'"))
      #expect(try folder.names == ["a.safetensors"])
    }
  }

  @Test func theVariableNamesTheDevice() throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"])
    let command = try Command(
      ["run", folder["a.safetensors"].path, "-o", folder["b.safetensors"].path],
      environment: ["ATTENTION_DEVICE": "no such device"])
    #expect(command.status == 3)
  }

  @Test(.enabled(if: Environment.hasOpenCLDevice, "no OpenCL device"))
  func aSecondStartTakesItsKernelsFromTheCache() throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"])
    func start() throws -> [String: Int] {
      let command = try Command(
        ["run", folder["a.safetensors"].path, "-o", folder["b.safetensors"].path, "--device", "opencl"],
        environment: ["XDG_CACHE_HOME": folder["cache"].path, "ATTENTION_CACHE": nil])
      #expect(command.status == 0, "\(command.errors)")
      let cache = folder["cache"].appending(path: "swift-attention").path
      // A program that is built anew is written to a new file and renamed over the old: another inode.
      return try FileManager.default.contentsOfDirectory(atPath: cache).reduce(into: [:]) { inodes, name in
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(cache)/\(name)")
        inodes[name] = attributes[.systemFileNumber] as? Int
      }
    }
    let first = try start()
    #expect(!first.isEmpty)
    #expect(try start() == first)
  }

  @Test func theCacheCanBeTurnedOff() throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"])
    _ = try Command(
      ["run", folder["a.safetensors"].path, "-o", folder["b.safetensors"].path],
      environment: ["XDG_CACHE_HOME": folder["cache"].path, "ATTENTION_CACHE": "off"])
    #expect(!FileManager.default.fileExists(atPath: folder["cache"].appending(path: "swift-attention").path))
  }
}
