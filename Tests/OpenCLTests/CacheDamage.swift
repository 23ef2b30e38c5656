import Foundation
import Testing

extension OnDevices.CacheTests.Damage {
  /// Where the header's fields begin, as in Sources/COpenCL/cache.c.
  private static let versionOffset = 8
  private static let lengthOffset = 12
  private static let checksumOffset = 20
  private static let payloadOffset = 52

  /// Does this to a good file of the cache.
  func apply(to file: URL, in directory: TemporaryDirectory) throws {
    var data = try Data(contentsOf: file)
    try #require(data.count > Self.payloadOffset)
    switch self {
    case .empty: data = Data()
    case .truncatedHeader: data = data.prefix(30)
    case .truncatedPayload: data = data.dropLast()
    case .longer: data.append(0)
    case .magic: data[0] ^= 1
    case .version: data[Self.versionOffset] ^= 1
    case .length: data[Self.lengthOffset] ^= 1
    case .checksum: data[Self.checksumOffset + 31] ^= 0x80
    case .payload: data[data.count / 2] ^= 1
    case .writableByGroup:
      try #require(chmod(file.path, 0o620) == 0)
      return
    case .writableByOthers:
      try #require(chmod(file.path, 0o602) == 0)
      return
    case .symbolicLink:
      let elsewhere = directory.url.appending(path: "elsewhere")
      try FileManager.default.moveItem(at: file, to: elsewhere)
      try #require(symlink(elsewhere.path, file.path) == 0)
      return
    case .pipe:
      try FileManager.default.removeItem(at: file)
      try #require(mkfifo(file.path, 0o600) == 0)
      return
    }
    try data.write(to: file)
  }

  /// Makes the file a good one of another payload.
  static func replacePayload(of file: URL, with payload: [UInt8]) throws {
    var data = try Data(contentsOf: file).prefix(lengthOffset)
    withUnsafeBytes(of: UInt64(payload.count).littleEndian) { data.append(contentsOf: $0) }
    data.append(contentsOf: SHA256Tests.digest(payload))
    data.append(contentsOf: payload)
    try data.write(to: file)
  }
}
