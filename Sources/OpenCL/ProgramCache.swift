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
