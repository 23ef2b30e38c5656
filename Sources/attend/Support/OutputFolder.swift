import Foundation

/// Folders that results go to.
enum OutputFolder {
  /// Makes a folder, with those above it, where there is none.
  ///
  /// - Throws: ``Failure`` that says what was found, where it cannot be made or written to.
  static func make(_ path: String) throws {
    try checkPlace(path)
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    if let found = obstacle(path) {
      throw Failure(.badInput, "\(path): expected a folder that can be written to, found \(found)")
    }
  }

  /// Refuses the path of a folder that is not there and cannot be made, or is and cannot be written to.
  static func checkPlace(_ path: String) throws {
    guard let found = obstacle(path) else { return }
    var above = URL(fileURLWithPath: path)
    while obstacle(above.path) == nothing, above.path != "/" { above.deleteLastPathComponent() }
    guard let reason = obstacle(above.path) else { return }
    throw Failure(
      .badInput,
      "\(path): expected a folder that can be written to, found \(found)"
        + (found == nothing ? ", and \(reason) at \(above.path)" : ""))
  }

  /// Refuses the path of a file that its folder has no place for.
  static func checkPlace(ofFile path: String) throws {
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    if let found = obstacle(folder) {
      throw Failure(.badInput, "\(path): expected a folder that can be written to, found \(found) at \(folder)")
    }
    if obstacle(path) == nil { throw Failure(.badInput, "\(path): expected a file, or nothing, found a folder") }
  }

  /// Whether two paths are of one file.
  static func areSame(_ a: String, _ b: String) -> Bool {
    func resolved(_ path: String) -> String { URL(fileURLWithPath: path).resolvingSymlinksInPath().path }
    return resolved(a) == resolved(b)
  }

  private static let nothing = "nothing"

  /// What is found in place of a folder that can be written to; nil where there is one.
  private static func obstacle(_ path: String) -> String? {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { return nothing }
    guard isFolder.boolValue else { return "a file" }
    return FileManager.default.isWritableFile(atPath: path) ? nil : "one that must not be written to"
  }
}
