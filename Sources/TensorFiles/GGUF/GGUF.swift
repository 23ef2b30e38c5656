/// A GGUF file: a model's metadata and weights, as llama.cpp and its relatives keep them. Versions 2 and 3.
///
/// ```
/// "GGUF" version tensors entries │ entries × (key, type, value) │ tensors × (name, shape, type, offset) │ pad │ data
/// ```
///
/// The file is mapped, and the head alone is read when it is opened; it must not be cut short while it is in use. See
/// <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
public struct GGUF: Sendable {
  /// What the file says of one tensor.
  public struct Entry: Sendable, Equatable {
    public let name: String
    /// The length of each dimension, the last varying fastest (GGUF itself lists them the other way round).
    public let shape: [Int]
    public let type: GGUFType
    /// Where its blocks stand, in bytes from the start of the file.
    public let range: Range<Int>
  }

  /// The path that the file was opened by.
  public var path: String { file.path }

  /// The metadata, by key: `general.architecture`, `llama.block_count`, `tokenizer.ggml.tokens`, …
  public let metadata: [String: GGUFValue]

  /// Every tensor, in the file's order.
  public let entries: [Entry]

  package let file: MappedFile
  private let indices: [String: Int]

  /// Opens a file and checks all that its head says.
  ///
  /// - Throws: ``TensorFileError`` where the file cannot be read, is cut short, has a key or tensor twice, a tensor of an
  ///   unknown type, or one that does not lie within the file.
  public init(path: String) throws {
    file = try MappedFile(path: path)
    var cursor = GGUFCursor(file)
    let (tensorCount, entryCount) = try Self.readCounts(&cursor)
    metadata = try Self.readMetadata(&cursor, count: entryCount)
    let alignment = try Self.alignment(metadata["general.alignment"], path: path)
    var entries: [Entry] = []
    for _ in 0..<tensorCount { entries.append(try Self.readEntry(&cursor)) }
    // The data begins at the next multiple of the alignment, and offsets count from there.
    let dataStart = (cursor.position + alignment - 1) / alignment * alignment
    self.entries = try entries.map { entry in
      let (start, startOverflow) = entry.range.lowerBound.addingReportingOverflow(dataStart)
      let (end, endOverflow) = entry.range.upperBound.addingReportingOverflow(dataStart)
      guard !startOverflow, !endOverflow, end <= cursor.bytes.count else {
        throw TensorFileError(
          file: path, part: .tensor(entry.name),
          found: "bytes \(entry.range.lowerBound) to \(entry.range.upperBound) of the data",
          expected: "a place within the file's \(max(0, cursor.bytes.count - dataStart)) bytes of data")
      }
      guard entry.range.lowerBound % alignment == 0 else {
        throw TensorFileError(
          file: path, part: .tensor(entry.name), found: "offset \(entry.range.lowerBound)",
          expected: "a multiple of \(alignment)")
      }
      return Entry(name: entry.name, shape: entry.shape, type: entry.type, range: start..<end)
    }
    indices = Dictionary(zip(entries.map(\.name), entries.indices), uniquingKeysWith: { first, _ in first })
    if indices.count < entries.count {
      let name = Dictionary(grouping: entries.map(\.name)) { $0 }.filter { $1.count > 1 }.keys.min() ?? ""
      throw TensorFileError(file: path, part: .tensor(name), found: "the name twice", expected: "one tensor of it")
    }
  }

  /// What the file says of one tensor; `nil` where it has none of this name.
  public subscript(name: String) -> Entry? { indices[name].map { entries[$0] } }

  /// A tensor's blocks, as they stand in the file, for the time of `body`.
  public func withBytes<R>(of entry: Entry, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try withExtendedLifetime(file) { try body(UnsafeRawBufferPointer(rebasing: file.bytes[entry.range])) }
  }

  // MARK: The head

  private static func readCounts(_ cursor: inout GGUFCursor) throws -> (tensors: Int, entries: Int) {
    let magic: UInt32 = try cursor.integer("a GGUF file's first bytes")
    guard magic == 0x4655_4747 else {
      throw TensorFileError(
        file: cursor.file, found: "other first bytes (\(String(magic, radix: 16)))", expected: "a GGUF file: 'GGUF'")
    }
    let version: UInt32 = try cursor.integer("the version")
    guard version == 2 || version == 3 else {
      throw TensorFileError(
        file: cursor.file, found: "GGUF version \(version)", expected: "version 2 or 3, little-endian")
    }
    let tensors: UInt64 = try cursor.integer("the number of tensors")
    // A key's length, a type and a value of one byte; a name's length, a rank, a type and an offset.
    let entries = try cursor.count(of: 13, "the metadata")
    guard tensors <= UInt64(cursor.bytes.count / 24) else {
      throw TensorFileError(
        file: cursor.file, found: "\(tensors) tensors", expected: "no more than fit \(cursor.bytes.count) bytes")
    }
    return (Int(tensors), entries)
  }

  private static func readMetadata(_ cursor: inout GGUFCursor, count: Int) throws -> [String: GGUFValue] {
    var metadata: [String: GGUFValue] = [:]
    for _ in 0..<count {
      let key = try cursor.string("a metadata key")
      let kind = try cursor.kind(key)
      guard metadata.updateValue(try cursor.value(kind, key: key), forKey: key) == nil else {
        throw TensorFileError(
          file: cursor.file, part: .metadata(key), found: "the key twice", expected: "one value of it")
      }
    }
    return metadata
  }

  private static func alignment(_ value: GGUFValue?, path: String) throws -> Int {
    guard let value else { return 32 }
    guard let alignment = value.asInteger, alignment > 0, alignment <= 1 << 20, alignment & (alignment - 1) == 0 else {
      throw TensorFileError(
        file: path, part: .metadata("general.alignment"), found: value.description,
        expected: "a power of two, at most \(1 << 20)")
    }
    return alignment
  }

  /// One tensor, its range still counted from the start of the data.
  private static func readEntry(_ cursor: inout GGUFCursor) throws -> Entry {
    let name = try cursor.string("a tensor's name")
    func error(_ found: String, _ expected: String) -> TensorFileError {
      TensorFileError(file: cursor.file, part: .tensor(name), found: found, expected: expected)
    }
    let rank: UInt32 = try cursor.integer("the rank of '\(name)'")
    guard rank <= 4 else { throw error("rank \(rank)", "a rank of at most 4") }
    let lengths: [UInt64] = try (0..<rank).map { _ in try cursor.integer("the shape of '\(name)'") }
    let number: UInt32 = try cursor.integer("the type of '\(name)'")
    guard let type = GGUFType(rawValue: number) else {
      throw error("element type \(number)", "one of \(GGUFType.names)")
    }
    let offset: UInt64 = try cursor.integer("the offset of '\(name)'")
    let shape = lengths.reversed().compactMap { Int(exactly: $0) }
    var (count, overflow) = (1, shape.count < lengths.count)
    for length in shape where !overflow { (count, overflow) = count.multipliedReportingOverflow(by: length) }
    guard !overflow, count > 0 else {
      throw error("shape \(lengths)", "lengths above 0 that an address space holds")
    }
    guard (shape.last ?? 1) % type.blockLength == 0 else {
      throw error("rows of \(shape.last ?? 1)", "rows of whole blocks of \(type.blockLength) in \(type.name)")
    }
    let (size, sizeOverflow) = (count / type.blockLength).multipliedReportingOverflow(by: type.blockByteCount)
    let (end, endOverflow) = Int(clamping: offset).addingReportingOverflow(size)
    guard !sizeOverflow, !endOverflow else { throw error("offset \(offset)", "a place within the file") }
    return Entry(name: name, shape: shape, type: type, range: Int(clamping: offset)..<end)
  }
}
