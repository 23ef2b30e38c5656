import Attention
import FoundationEssentials

extension Safetensors {
  /// Writes a file of tensors, ordered by name, whose data begins at a multiple of 8 bytes.
  ///
  /// The file appears whole or not at all, and one that stands at `path` is replaced in one step: on an error it is
  /// still there, and nothing else is left behind. The same tensors and metadata give the same bytes.
  ///
  /// - Throws: ``TensorFileError`` where the file cannot be written, a tensor has the name `__metadata__`, or the header
  ///   is longer than readers accept.
  public static func write(_ tensors: [String: Tensor], metadata: [String: String] = [:], to path: String) throws {
    let ordered = tensors.sorted { $0.key < $1.key }
    let header = try header(ordered, metadata: metadata, path: path)
    try AtomicFile.write(to: path) { file in
      try withUnsafeBytes(of: UInt64(header.count).littleEndian) { try file.append($0) }
      try header.withUnsafeBytes { try file.append($0) }
      for (_, tensor) in ordered {
        try tensor.withUnsafeBytes { try file.append($0) }
      }
    }
  }

  /// The JSON header, padded with spaces to a multiple of 8 bytes.
  private static func header(
    _ tensors: [(key: String, value: Tensor)], metadata: [String: String], path: String
  ) throws -> Data {
    var items: [String: HeaderItem] = [:]
    if !metadata.isEmpty { items[SafetensorsHeader.metadataName] = .metadata(metadata) }
    var position = 0
    for (name, tensor) in tensors {
      let part = TensorFileError.Part.tensor(name)
      guard name != SafetensorsHeader.metadataName else {
        throw TensorFileError(file: path, part: part, found: "the metadata's name", expected: "another name")
      }
      // Tensors share memory, so their sizes may add up to more than there is.
      let (end, overflow) = position.addingReportingOverflow(tensor.byteCount)
      guard !overflow else {
        throw TensorFileError(
          file: path, part: part, found: "more than \(Int.max) bytes of data", expected: "a size that a file can have")
      }
      items[name] = .tensor(
        HeaderItem.Tensor(dtype: tensor.elementType.rawValue, shape: tensor.shape, dataOffsets: [position, end]))
      position = end
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    var json = try encoder.encode(items)
    json.append(Data(repeating: UInt8(ascii: " "), count: (8 - json.count % 8) % 8))
    guard json.count <= SafetensorsHeader.maximumByteCount else {
      throw TensorFileError(
        file: path, found: "a header of \(json.count) bytes",
        expected: "a header of at most \(SafetensorsHeader.maximumByteCount) bytes")
    }
    return json
  }

  private enum HeaderItem: Encodable {
    struct Tensor: Encodable {
      let dtype: String
      let shape: [Int]
      let dataOffsets: [Int]

      typealias CodingKeys = SafetensorsHeader.Tensor.CodingKeys
    }
    case metadata([String: String])
    case tensor(Tensor)

    func encode(to encoder: any Encoder) throws {
      switch self {
      case .metadata(let value): try value.encode(to: encoder)
      case .tensor(let value): try value.encode(to: encoder)
      }
    }
  }
}
