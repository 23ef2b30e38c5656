import Foundation

/// A terminal that a program can write to, a few thousand characters at most.
final class Terminal {
  struct Missing: Error {}

  /// What a program opens.
  let path: String
  private let own: FileHandle
  private let programs: FileHandle

  init() throws {
    var (own, programs): (Int32, Int32) = (-1, -1)
    var name = [CChar](repeating: 0, count: 1024)
    guard openpty(&own, &programs, &name, nil, nil) == 0 else { throw Missing() }
    self.own = FileHandle(fileDescriptor: own, closeOnDealloc: true)
    self.programs = FileHandle(fileDescriptor: programs, closeOnDealloc: true)
    path = String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    // With nothing left to read, reading ends.
    _ = fcntl(own, F_SETFL, O_NONBLOCK)
  }

  /// What was written.
  func text() -> String {
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    var length = 0
    while length < bytes.count {
      let count = bytes.withUnsafeMutableBytes {
        read(own.fileDescriptor, $0.baseAddress?.advanced(by: length), $0.count - length)
      }
      guard count > 0 else { break }
      length += count
    }
    return String(decoding: bytes[..<length], as: UTF8.self)
  }
}
