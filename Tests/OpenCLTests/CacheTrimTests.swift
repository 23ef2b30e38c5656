import COpenCL
import Foundation
import Testing

@Suite("Trimming the cache")
struct CacheTrimTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// A file of 100 bytes, last of use so many hours ago.
  private func put(_ name: String, hoursAgo: Int) throws {
    let path = directory.path + "/" + name
    try Data(count: 100).write(to: URL(fileURLWithPath: path))
    #expect(chmod(path, 0o600) == 0)
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSinceNow: -3600 * Double(hoursAgo))], ofItemAtPath: path)
  }

  @Test("removes what was longest of no use, and no more than needed")
  func oldest() throws {
    for (name, hours) in [("a", 3), ("b", 9), ("c", 1), ("d", 6)] { try put(name + ".clbin", hoursAgo: hours) }
    attention_cache_trim(directory.path, 400)
    #expect(try directory.names().count == 4)
    attention_cache_trim(directory.path, 399)
    #expect(try directory.names() == ["a.clbin", "c.clbin", "d.clbin"])
    attention_cache_trim(directory.path, 100)
    #expect(try directory.names() == ["c.clbin"])
    attention_cache_trim(directory.path, 0)
    #expect(try directory.names().isEmpty)
  }

  @Test("leaves texts, links and what is being written; removes what a dead writer left")
  func others() throws {
    try put("tuned.txt", hoursAgo: 99)
    try put(".1-0.tmp", hoursAgo: 23)
    try put(".2-0.tmp", hoursAgo: 25)
    try put("elsewhere", hoursAgo: 99)
    #expect(symlink(directory.path + "/elsewhere", directory.path + "/x.clbin") == 0)
    attention_cache_trim(directory.path, 0)
    #expect(try directory.names() == [".1-0.tmp", "elsewhere", "tuned.txt", "x.clbin"])
  }

  @Test("of no directory, and of one that others may write, does nothing")
  func nowhere() throws {
    attention_cache_trim(directory.path + "/none", 0)
    try put("a.clbin", hoursAgo: 1)
    #expect(chmod(directory.path, 0o777) == 0)
    attention_cache_trim(directory.path, 0)
    #expect(try directory.names() == ["a.clbin"])
  }
}
