import Attention

/// A safetensors file, open for reading.
///
/// The format: the length of a header (8 bytes, little-endian), the header (JSON: the name, type, shape and place of each
/// tensor), and the tensors' bytes. See <https://huggingface.co/docs/safetensors>.
///
/// Opening a file reads and checks its header alone; each tensor is read when it is asked for, so one tensor of a file of
/// gigabytes costs that tensor. The file stays open, and the same, even when another is renamed over it.
///
/// ```swift
/// let file = try Safetensors(path: "layer.safetensors")
/// let query = try file.tensor("query")
/// ```
public struct Safetensors: Sendable {
  /// The path that the file was opened by.
  public var path: String { file.path }

  /// What the header's `__metadata__` holds; empty where there is none.
  public let metadata: [String: String]

  /// Every tensor, in the order of their data. Types that ``Tensor`` does not have are listed too.
  public let entries: [Entry]

  private let file: ReadableFile
  private let dataStart: Int
  private let indices: [String: Int]

  /// Opens a file and checks all that its header says.
  ///
  /// - Throws: ``TensorFileError`` where the file cannot be read, its header is not what the format asks for or has a name
  ///   twice, or the tensors do not fill its data exactly: overlaps, holes, bytes past the end.
  public init(path: String) throws {
    file = try ReadableFile(path: path)
    let header: SafetensorsHeader
    (header, dataStart) = try SafetensorsHeader.read(from: file)
    switch header.metadata {
    case .value(let value): metadata = value
    case nil: metadata = [:]
    case .other(let found):
      throw TensorFileError(
        file: path, part: .metadata(SafetensorsHeader.metadataName), found: found, expected: "an object of strings")
    }
    let dataByteCount = file.byteCount - dataStart
    entries = try header.tensors
      // By name, so that a file with several faults is always refused for the same one.
      .sorted { $0.key < $1.key }
      .map { try Entry($0.value, name: $0.key, dataByteCount: dataByteCount, file: path) }
      // Empty tensors share their place with the next one: the end decides, then the name.
      .sorted {
        ($0.offsets.lowerBound, $0.offsets.upperBound, $0.name)
          < ($1.offsets.lowerBound, $1.offsets.upperBound, $1.name)
      }
    try Entry.checkCoverage(of: entries, dataByteCount: dataByteCount, file: path)
    indices = Dictionary(zip(entries.map(\.name), entries.indices), uniquingKeysWith: { first, _ in first })
  }

  /// What the file says of one tensor; `nil` where it has none of this name.
  public subscript(name: String) -> Entry? { indices[name].map { entries[$0] } }

  /// Where a tensor's elements stand, in bytes from the start of the file.
  package func range(of entry: Entry) -> Range<Int> {
    dataStart + entry.offsets.lowerBound..<dataStart + entry.offsets.upperBound
  }

  /// Reads one tensor.
  ///
  /// - Throws: ``TensorFileError`` where there is none of this name, its type is one that ``Tensor`` does not have, a
  ///   boolean is neither 0 nor 1, or the file has shrunk since it was opened.
  public func tensor(_ name: String) throws -> Tensor {
    let part = TensorFileError.Part.tensor(name)
    guard let entry = self[name] else {
      throw TensorFileError(file: path, part: part, found: "none", expected: "a tensor of this name")
    }
    guard let elementType = entry.elementType else {
      throw TensorFileError(
        file: path, part: part, found: entry.typeName,
        expected: "a type that can be read: \(SafetensorsType.tensorNames)")
    }
    return try Tensor(shape: entry.shape, elementType: elementType) { bytes in
      try file.read(at: dataStart + entry.offsets.lowerBound, into: bytes, part: part)
      // Kernels read these bytes as they are; "true" must look the same to all of them.
      if elementType == .bool, let other = bytes.first(where: { $0 > 1 }) {
        throw TensorFileError(file: path, part: part, found: "a boolean of value \(other)", expected: "0 or 1")
      }
    }
  }
}
