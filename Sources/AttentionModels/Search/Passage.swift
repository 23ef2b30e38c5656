import Foundation

/// A piece of a text file.
public struct Passage: Sendable, Hashable, Codable {
  public var file: String
  /// Its first line, counted from 1.
  public var line: Int
  public var text: String

  public init(file: String, line: Int, text: String) {
    self.file = file
    self.line = line
    self.text = text
  }
}

/// Cuts files into passages.
public struct PassageReader: Sendable {
  /// What a passage is.
  public enum Unit: String, Sendable, CaseIterable {
    /// Lines up to an empty one, but a new passage after ``longest`` characters.
    case paragraph
    /// Every line that is not empty.
    case line
  }

  public var unit: Unit

  /// Characters after which a paragraph's next line begins a passage of its own: about what an encoder reads at once.
  static let longest = 800

  /// Larger files are not text that somebody wrote.
  static let largestFile = 64 << 20

  public init(unit: Unit = .paragraph) { self.unit = unit }

  /// The passages of files, and of the text files in folders, each file once; hidden files, and those that hold a NUL, are
  /// passed over.
  ///
  /// - Throws: ``ModelError`` for a path where nothing is, or a file that was named and cannot be read as text.
  public func passages(of paths: [String]) throws -> [Passage] {
    var seen: Set<String> = []
    func isNew(_ file: String) -> Bool { seen.insert(NamedPaths.location(file)).inserted }
    return try paths.flatMap { path in
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
        throw ModelError(path, found: "nothing", expected: "a text file or a folder of them")
      }
      guard isFolder.boolValue else {
        guard let text = Self.text(of: path) else {
          throw ModelError(path, found: "no text", expected: "a text file of at most \(Self.largestFile) bytes")
        }
        return isNew(path) ? passages(of: text, file: path) : []
      }
      return Self.files(in: path).filter(isNew).flatMap { file in
        Self.text(of: file).map { passages(of: $0, file: file) } ?? []
      }
    }
  }

  private static func files(in folder: String) -> [String] {
    guard let paths = FileManager.default.enumerator(atPath: folder) else { return [] }
    let base = folder.hasSuffix("/") ? folder : folder + "/"
    let visible = paths.compactMap { $0 as? String }.filter { path in
      !path.split(separator: "/").contains { $0.hasPrefix(".") }
    }
    return visible.sorted().map { base + $0 }
  }

  private static func text(of file: String) -> String? {
    let attributes = try? FileManager.default.attributesOfItem(atPath: file)
    guard attributes?[.type] as? FileAttributeType == .typeRegular, let size = attributes?[.size] as? Int,
      size <= largestFile, let data = FileManager.default.contents(atPath: file), !data.contains(0)
    else { return nil }
    return String(decoding: data, as: UTF8.self)
  }

  func passages(of text: String, file: String) -> [Passage] {
    var passages: [Passage] = []
    var lines: [String] = []
    var first = 1
    func end() {
      if !lines.isEmpty { passages.append(Passage(file: file, line: first, text: lines.joined(separator: "\n"))) }
      lines = []
    }
    for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let content = line.trimmingCharacters(in: .whitespaces)
      if content.isEmpty {
        end()
        continue
      }
      if unit == .line || lines.reduce(0, { $0 + $1.count }) >= Self.longest { end() }
      if lines.isEmpty { first = index + 1 }
      lines.append(content)
    }
    end()
    return passages
  }
}
