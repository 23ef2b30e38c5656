import FoundationEssentials

/// A JSON object in a metadata entry of a file. A member that is null counts as absent.
struct MetadataObject {
  private let file: String
  private let name: String
  private let members: [String: JSONValue]

  /// Longer texts are no description of a call, and a JSON tree takes many times the memory of its text.
  private static let maximumByteCount = 1 << 16

  /// Parses the entry `name` of a file's metadata; where there is none, an object with no members.
  ///
  /// - Parameter allowsNonFinite: Whether `NaN` and `Infinity` may stand for numbers, as Python writes them.
  init(_ name: String, of file: Safetensors, allowsNonFinite: Bool = false) throws {
    self.file = file.path
    self.name = name
    guard let text = file.metadata[name] else {
      members = [:]
      return
    }
    func error(_ found: String, _ expected: String) -> TensorFileError {
      TensorFileError(file: file.path, part: .metadata(name), found: found, expected: expected)
    }
    guard text.utf8.count <= Self.maximumByteCount else {
      throw error("\(text.utf8.count) bytes", "at most \(Self.maximumByteCount) bytes")
    }
    let decoder = JSONDecoder()
    decoder.allowsJSON5 = allowsNonFinite
    guard let value = try? decoder.decode(JSONValue.self, from: Data(text.utf8)) else {
      throw error("text that does not parse", "a JSON object")
    }
    guard case .object(let members) = value else { throw error(value.description, "a JSON object") }
    self.members = members.filter { $0.value != .null }
  }

  /// The names of the members, in order.
  var keys: [String] { members.keys.sorted() }

  func error(_ key: String, found: String, expected: String) -> TensorFileError {
    TensorFileError(file: file, part: .metadata("\(name).\(key)"), found: found, expected: expected)
  }

  /// - Throws: ``TensorFileError`` for a member that is none of these.
  func allowOnly(_ names: [String]) throws {
    for key in keys where !names.contains(key) {
      throw error(key, found: "an unknown key", expected: "one of \(names.joined(separator: ", "))")
    }
  }

  /// The member as `convert` reads it, `nil` where it is absent.
  ///
  /// - Throws: ``TensorFileError`` where `convert` returns `nil`.
  func read<Value>(_ key: String, expected: String, _ convert: (JSONValue) -> Value?) throws -> Value? {
    guard let member = members[key] else { return nil }
    guard let value = convert(member) else { throw error(key, found: member.description, expected: expected) }
    return value
  }
}

extension JSONValue {
  var asString: String? {
    if case .string(let value) = self { value } else { nil }
  }

  var asBool: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  var asInteger: Int? {
    if case .integer(let value) = self { value } else { nil }
  }

  var asDouble: Double? {
    switch self {
    case .number(let value): value
    case .integer(let value): Double(value)
    default: nil
    }
  }

  var asArray: [JSONValue]? {
    if case .array(let values) = self { values } else { nil }
  }
}
