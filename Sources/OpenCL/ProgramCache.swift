internal import COpenCL

/// Where built programs are kept between processes.
///
/// A cache never makes a build fail: a directory that cannot be made or written, that is a link, or that others may
/// write is as good as none, and so is a file that is not whole.
public enum ProgramCache: Sendable, Hashable {
  /// The user's own: none if the environment's `ATTENTION_CACHE` is `off`, else `$XDG_CACHE_HOME/swift-attention`,
  /// else `$HOME/.cache/swift-attention`.
  case standard

  /// A directory of the caller's choice, made if it does not exist.
  case directory(String)

  /// None: every program is built from source.
  case none

  /// The directory's path; nil for none.
  public var path: String? {
    switch self {
    case .standard: Self.standardPath
    case .directory(let path): path
    case .none: nil
    }
  }

  private static var standardPath: String? {
    var characters = [CChar](repeating: 0, count: 4096)
    let length = attention_cache_directory(&characters, characters.count)
    guard length > 0 else { return nil }
    return String(decoding: characters.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

extension ProgramCache {
  /// Why a file that is there is not read.
  package struct UnusableFile: Error {
    package let reason: String
  }

  /// A text kept beside the programs; nil where there is none, or no cache.
  ///
  /// - Throws: `UnusableFile` for something that is no file of this user's alone.
  package func text(named name: String) throws(UnusableFile) -> String? {
    guard let path else { return nil }
    var length = 0
    var reason: UnsafePointer<CChar>?
    guard let bytes = attention_cache_read_text(path, name, &length, &reason) else {
      guard let reason else { return nil }
      throw UnusableFile(reason: String(cString: reason))
    }
    defer { attention_cache_text_free(bytes) }
    return String(decoding: UnsafeBufferPointer(start: bytes, count: length), as: UTF8.self)
  }

  /// Keeps a text beside the programs, in one step; whether that worked. Without a cache it does not.
  package func write(_ text: String, named name: String) -> Bool {
    guard let path else { return false }
    let bytes = Array(text.utf8)
    return attention_cache_write_text(path, name, bytes, bytes.count)
  }
}
