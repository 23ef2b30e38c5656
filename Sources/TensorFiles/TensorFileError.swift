/// What is wrong with a file of tensors: where, what was found, and what was expected.
public struct TensorFileError: Error, Sendable, Equatable {
  /// The part of the file that the error is about.
  public enum Part: Sendable, Equatable {
    /// The file as a whole.
    case file
    /// One tensor, by its name.
    case tensor(String)
    /// One metadata entry, and a key of the JSON object in it after a dot: `attention`, `attention.scale`.
    case metadata(String)
    /// Something that the parts make together, such as a dimension that several tensors share.
    case argument(String)
  }

  /// The path as the caller gave it.
  public let file: String
  public let part: Part
  public let found: String
  public let expected: String

  public init(file: String, part: Part = .file, found: String, expected: String) {
    self.file = file
    self.part = part
    self.found = found
    self.expected = expected
  }
}

extension TensorFileError: CustomStringConvertible {
  /// One line, whatever the file holds: control characters are escaped and long texts cut short.
  public var description: String {
    let place =
      switch part {
      case .file: ""
      case .tensor(let name): " tensor '\(name.asOneLine)':"
      case .metadata(let key): " metadata '\(key.asOneLine)':"
      case .argument(let name): " \(name.asOneLine):"
      }
    return "\(file.asOneLine):\(place) expected \(expected.asOneLine), found \(found.asOneLine)"
  }
}

extension String {
  /// Names and values of a hostile file can be megabytes long and hold terminal escapes; a message shows neither.
  fileprivate var asOneLine: String {
    let limit = 400
    var line = ""
    for scalar in unicodeScalars.prefix(limit) {
      switch scalar.properties.generalCategory {
      case .control, .lineSeparator, .paragraphSeparator: line += scalar.escaped(asASCII: true)
      default: line.unicodeScalars.append(scalar)
      }
    }
    return unicodeScalars.dropFirst(limit).isEmpty ? line : line + "…"
  }
}
