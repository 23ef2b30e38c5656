import FoundationEssentials

/// The JSON header as it is written, with nothing in it checked but that it is an object.
///
/// ```
/// {"__metadata__": {"key": "text"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}
/// ```
struct SafetensorsHeader: Decodable {
  struct Tensor: Decodable {
    var dtype: JSONField<String>?
    var shape: JSONField<[Int]>?
    var dataOffsets: JSONField<[Int]>?

    enum CodingKeys: String, CodingKey {
      case dtype, shape
      case dataOffsets = "data_offsets"
    }
  }

  /// The name that the format keeps for the metadata.
  static let metadataName = "__metadata__"

  /// The longest header that readers of the format accept.
  static let maximumByteCount = 100_000_000

  private(set) var metadata: JSONField<[String: String]>?
  private(set) var tensors: [String: JSONField<Tensor>] = [:]

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Name.self)
    for name in container.allKeys {
      if name.stringValue == Self.metadataName {
        metadata = try container.decode(JSONField<[String: String]>.self, forKey: name)
      } else {
        tensors[name.stringValue] = try container.decode(JSONField<Tensor>.self, forKey: name)
      }
    }
  }

  private struct Name: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// Reads the header of a file: eight bytes of length, little-endian, and as many of JSON.
  ///
  /// - Returns: The header, and where the data begins.
  static func read(from file: ReadableFile) throws -> (header: SafetensorsHeader, dataStart: Int) {
    guard file.byteCount >= 8 else {
      throw TensorFileError(
        file: file.path, found: "\(file.byteCount) bytes", expected: "a safetensors file: 8 bytes of header length")
    }
    var length: UInt64 = 0
    try withUnsafeMutableBytes(of: &length) { try file.read(at: 0, into: $0) }
    length = UInt64(littleEndian: length)
    let limit = min(file.byteCount - 8, maximumByteCount)
    guard let byteCount = Int(exactly: length), byteCount <= limit else {
      throw TensorFileError(
        file: file.path, found: "a header of \(length) bytes in a file of \(file.byteCount)",
        expected: "a header of at most \(limit) bytes")
    }
    var json = Data(count: byteCount)
    try json.withUnsafeMutableBytes { try file.read(at: 8, into: $0) }
    // The format wants the brace first. JSON has no zero bytes; with them JSONDecoder would guess at UTF-16.
    guard json.first == UInt8(ascii: "{"), !json.contains(0) else {
      throw TensorFileError(
        file: file.path, found: "a header that begins otherwise or holds zero bytes",
        expected: "a JSON object in UTF-8, its brace first")
    }
    let header: SafetensorsHeader
    let names: [String]
    do {
      header = try JSONDecoder().decode(SafetensorsHeader.self, from: json)
      names = try JSONNames.names(ofObject: json)
    } catch {
      throw TensorFileError(file: file.path, found: "a header that does not parse", expected: "a JSON object in UTF-8")
    }
    try checkOnce(names, file: file.path)
    return (header, 8 + byteCount)
  }

  private static func checkOnce(_ names: [String], file: String) throws {
    var seen: Set<String> = []
    guard let name = names.first(where: { !seen.insert($0).inserted }) else { return }
    if name == metadataName {
      throw TensorFileError(file: file, part: .metadata(name), found: "the key twice", expected: "one value of it")
    }
    throw TensorFileError(file: file, part: .tensor(name), found: "the name twice", expected: "one tensor of it")
  }
}
