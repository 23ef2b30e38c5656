import Foundation

/// Files and folders as a user names them.
public struct NamedPaths: Sendable {
  private let locations: Set<String>

  public init(_ paths: [String]) { locations = Set(paths.map(Self.location)) }

  /// Whether a file is one of them, or lies in one, however it is spelled.
  public func contains(_ file: String) -> Bool {
    var location = Self.location(file)
    while !locations.contains(location) {
      let parent = URL(fileURLWithPath: location).deletingLastPathComponent().path
      guard parent.count < location.count else { return false }
      location = parent
    }
    return true
  }

  /// The path from the root, without `.` and `..`.
  static func location(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }
}
