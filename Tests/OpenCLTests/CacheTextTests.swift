import Foundation
import OpenCL
import Testing

@Suite("Texts in the cache")
struct CacheTextTests {
  @Test("come back, and the last one stands")
  func roundTrip() throws {
    let directory = try TemporaryDirectory()
    let cache = ProgramCache.directory(directory.path + "/a/cache")
    #expect(try cache.text(named: "x.txt") == nil)
    for text in ["", "one\n", String(repeating: "ü", count: 5000)] {
      #expect(cache.write(text, named: "x.txt"))
      #expect(try cache.text(named: "x.txt") == text)
      #expect(try directory.names(in: "a/cache") == ["x.txt"])
    }
  }

  @Test("are nowhere without a cache")
  func none() throws {
    #expect(!ProgramCache.none.write("text", named: "x.txt"))
    #expect(try ProgramCache.none.text(named: "x.txt") == nil)
  }

  enum Obstacle: CaseIterable {
    case writableByOthers, link, pipe, folder, long, folderWritableByOthers, folderLink
  }

  @Test("are not read where others could have put them, nor what is no text of ours", arguments: Obstacle.allCases)
  func obstacles(obstacle: Obstacle) throws {
    let directory = try TemporaryDirectory()
    let folder = directory.path + "/cache"
    let cache = ProgramCache.directory(folder)
    #expect(cache.write("text", named: "x.txt"))
    let path = folder + "/x.txt"
    switch obstacle {
    case .writableByOthers: #expect(chmod(path, 0o602) == 0)
    case .link:
      try FileManager.default.moveItem(atPath: path, toPath: directory.path + "/y.txt")
      #expect(symlink(directory.path + "/y.txt", path) == 0)
    case .pipe:
      try FileManager.default.removeItem(atPath: path)
      #expect(mkfifo(path, 0o600) == 0)
    case .folder:
      try FileManager.default.removeItem(atPath: path)
      #expect(mkdir(path, 0o700) == 0)
    case .long: #expect(truncate(path, 1 << 20 + 1) == 0)
    case .folderWritableByOthers: #expect(chmod(folder, 0o707) == 0)
    case .folderLink:
      try FileManager.default.moveItem(atPath: folder, toPath: directory.path + "/other")
      #expect(symlink(directory.path + "/other", folder) == 0)
    }
    let error = #expect(throws: ProgramCache.UnusableFile.self) { try cache.text(named: "x.txt") }
    #expect(error?.reason.isEmpty == false)
  }

  @Test("longer than 1 MiB are not kept")
  func tooLong() throws {
    let directory = try TemporaryDirectory()
    let cache = ProgramCache.directory(directory.path + "/cache")
    #expect(cache.write("old", named: "x.txt"))
    #expect(!cache.write(String(repeating: "x", count: 1 << 20 + 1), named: "x.txt"))
    #expect(try cache.text(named: "x.txt") == "old")
  }

  @Test("A digest follows the sources and their order")
  func digest() {
    #expect(KernelSource.digest(of: ["common"]).count == 16)
    #expect(KernelSource.digest(of: ["common", "scores"]) != KernelSource.digest(of: ["scores", "common"]))
    // The first digits of SHA-256 of "abc".
    #expect(hexDigest("abc") == "ba7816bf8f01cfea")
  }
}
