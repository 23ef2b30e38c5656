import Foundation
import OpenCL
import Testing

extension OnDevices {
  @Suite("Cache")
  struct CacheTests {
    /// The name of the only file a build left in a directory.
    static func onlyFile(_ directory: TemporaryDirectory) throws -> String {
      let names = try directory.names(in: "cache")
      try #require(names.count == 1, "\(names)")
      return names[0]
    }

    /// A program that adds, kept in the folder "cache" of a directory.
    static func build(_ device: Device, _ directory: TemporaryDirectory) throws -> Program {
      let program = try Program(
        Context(device), sources: [], text: addition, cache: .directory(directory.path + "/cache"))
      // Wherever it came from, it must work.
      #expect(try add([1, 2, 3], [10, 20, 30], with: program) == [11, 22, 33])
      return program
    }

    /// The trimming goes by it.
    @Test("what is used is as good as new", arguments: devices)
    func use(device: Device) throws {
      let directory = try TemporaryDirectory()
      _ = try Self.build(device, directory)
      let file = directory.path + "/cache/" + (try Self.onlyFile(directory))
      func age() throws -> TimeInterval {
        let used = try FileManager.default.attributesOfItem(atPath: file)[.modificationDate] as? Date
        return Date().timeIntervalSince(try #require(used))
      }
      try FileManager.default.setAttributes(
        [.modificationDate: Date(timeIntervalSinceNow: -7 * 86_400)], ofItemAtPath: file)
      #expect(try age() > 86_400)
      #expect(try Self.build(device, directory).builtFromCache)
      #expect(try age() < 86_400)
    }

    @Test("the second build comes from it", arguments: devices)
    func secondBuild(device: Device) throws {
      let directory = try TemporaryDirectory()
      #expect(try !Self.build(device, directory).builtFromCache)
      #expect(try Self.build(device, directory).builtFromCache)
      let name = try Self.onlyFile(directory)
      #expect(name.hasSuffix(".clbin") && name.count == 64 + 6)
      let folder = try FileManager.default.attributesOfItem(atPath: directory.path + "/cache")
      #expect(folder[.posixPermissions] as? Int == 0o700)
      let file = try FileManager.default.attributesOfItem(atPath: directory.path + "/cache/\(name)")
      #expect(file[.posixPermissions] as? Int == 0o600)
    }

    #if compiler(>=6.3)
      @Test("a second start builds nothing from source", arguments: devices)
      func secondStart(device: Device) async throws {
        let directory = try TemporaryDirectory()
        // A process of its own, because the count is the process's and other tests build too.
        for start in 0..<2 {
          await #expect(processExitsWith: .success) {
            [path = directory.path as String, identifier = device.identifier as String, start = start as Int] in
            let device = try #require(try Device.all().first { $0.identifier == identifier })
            let context = try Context(device)
            #expect(Program.sourceBuildCount == 0)
            for _ in 0..<2 {
              let program = try Program(context, sources: [], text: addition, cache: .directory(path + "/cache"))
              #expect(try add([1, 2], [3, 4], with: program) == [4, 6])
            }
            #expect(Program.sourceBuildCount == (start == 0 ? 1 : 0))
          }
        }
      }
    #endif

    @Test("source, options and order are part of the key", arguments: devices)
    func key(device: Device) throws {
      let directory = try TemporaryDirectory()
      let context = try Context(device)
      let cache = ProgramCache.directory(directory.path + "/cache")
      for (text, options) in [
        ("kernel void f() {}", ""), ("kernel void f() {} ", ""), ("kernel void f() {}", "-D A=1"),
        ("kernel void f() {}", "-D A=2"),
      ] {
        #expect(try !Program(context, sources: [], text: text, options: options, cache: cache).builtFromCache)
        #expect(try Program(context, sources: [], text: text, options: options, cache: cache).builtFromCache)
      }
      #expect(try directory.names(in: "cache").count == 4)
    }

    @Test("without one, nothing is written and every build is from source", arguments: devices)
    func none(device: Device) throws {
      let before = Program.sourceBuildCount
      for _ in 0..<2 {
        #expect(try !Program(Context(device), sources: [], text: addition, cache: .none).builtFromCache)
      }
      #expect(Program.sourceBuildCount >= before + 2)
    }

    /// What can be wrong with a file.
    enum Damage: String, CaseIterable {
      case empty, truncatedHeader, truncatedPayload, longer
      case magic, version, length, checksum, payload
      case writableByGroup, writableByOthers, symbolicLink, pipe
    }

    @Test("a damaged file is ignored and replaced", arguments: devices, Damage.allCases)
    func damage(device: Device, damage: Damage) throws {
      let directory = try TemporaryDirectory()
      _ = try Self.build(device, directory)
      let name = try Self.onlyFile(directory)
      let file = directory.url.appending(path: "cache/\(name)")
      try damage.apply(to: file, in: directory)

      #expect(try !Self.build(device, directory).builtFromCache)
      #expect(try Self.onlyFile(directory) == name)
      #expect(try Self.build(device, directory).builtFromCache)
    }

    @Test(
      "a binary that the driver refuses is replaced",
      // rusticl of Mesa 22.3 ends the process when it is given a binary that it did not make. That no bytes but
      // a driver's own get that far is what the key and the checksum are for.
      arguments: devices.filter { $0.info.platformName != "rusticl" })
    func refusedByDriver(device: Device) throws {
      let directory = try TemporaryDirectory()
      _ = try Self.build(device, directory)
      let file = directory.url.appending(path: "cache/\(try Self.onlyFile(directory))")
      try Damage.replacePayload(of: file, with: [UInt8]("not a program for any device".utf8))
      #expect(try !Self.build(device, directory).builtFromCache)
      #expect(try Self.build(device, directory).builtFromCache)
    }

    @Test(
      "another user's file is ignored", .enabled(if: geteuid() == 0, "only root can give files away"),
      arguments: devices)
    func otherOwner(device: Device) throws {
      let directory = try TemporaryDirectory()
      _ = try Self.build(device, directory)
      let file = directory.path + "/cache/" + (try Self.onlyFile(directory))
      try #require(chown(file, 12345, 12345) == 0)
      #expect(try !Self.build(device, directory).builtFromCache)
      #expect(try Self.build(device, directory).builtFromCache)
      try #require(chown(directory.path + "/cache", 12345, 12345) == 0)
      #expect(try !Self.build(device, directory).builtFromCache)
    }

    @Test("a directory that others may write, or a link to one, is as good as none", arguments: devices)
    func unsafeDirectory(device: Device) throws {
      let directory = try TemporaryDirectory()
      let folder = directory.path + "/cache"
      _ = try Self.build(device, directory)
      try #require(chmod(folder, 0o770) == 0)
      #expect(try !Self.build(device, directory).builtFromCache)
      try #require(chmod(folder, 0o702) == 0)
      #expect(try !Self.build(device, directory).builtFromCache)
      try #require(chmod(folder, 0o700) == 0)
      #expect(try Self.build(device, directory).builtFromCache)

      try FileManager.default.moveItem(atPath: folder, toPath: directory.path + "/real")
      try #require(symlink(directory.path + "/real", folder) == 0)
      #expect(try !Self.build(device, directory).builtFromCache)
      let program = try Program(Context(device), sources: [], text: addition, cache: .directory(folder + "/"))
      #expect(!program.builtFromCache)
      #expect(try directory.names(in: "real").count == 1)
    }

    @Test("a directory that cannot be made does no harm", arguments: devices)
    func impossibleDirectory(device: Device) throws {
      let directory = try TemporaryDirectory()
      try Data("a file".utf8).write(to: directory.url.appending(path: "cache"))
      #expect(try !Self.build(device, directory).builtFromCache)
      #expect(try directory.names() == ["cache"])
      for path in ["", directory.path + "/cache/below", "/" + String(repeating: "x", count: 10_000)] {
        let program = try Program(Context(device), sources: [], text: addition, cache: .directory(path))
        #expect(!program.builtFromCache)
      }
    }

    @Test(
      "a directory that cannot be written does no harm", .enabled(if: geteuid() != 0, "root may write everywhere"),
      arguments: devices)
    func readOnlyDirectory(device: Device) throws {
      let directory = try TemporaryDirectory()
      try #require(mkdir(directory.path + "/cache", 0o500) == 0)
      #expect(try !Self.build(device, directory).builtFromCache)
      #expect(try directory.names(in: "cache").isEmpty)
    }

    @Test("a failed write leaves no temporary file", arguments: devices)
    func failedWrite(device: Device) throws {
      let directory = try TemporaryDirectory()
      _ = try Self.build(device, directory)
      let name = try Self.onlyFile(directory)
      // A file cannot take a directory's place: everything succeeds but the last step.
      try FileManager.default.removeItem(atPath: directory.path + "/cache/\(name)")
      try #require(mkdir(directory.path + "/cache/\(name)", 0o700) == 0)
      #expect(try !Self.build(device, directory).builtFromCache)
      #expect(try directory.names(in: "cache") == [name])
    }

    @Test("a program that does not compile leaves nothing", arguments: devices)
    func failedBuild(device: Device) throws {
      let directory = try TemporaryDirectory()
      let context = try Context(device)
      _ = error { _ = try Program(context, sources: [], text: "no C", cache: .directory(directory.path)) }
      #expect(try directory.names().isEmpty)
    }
  }
}
