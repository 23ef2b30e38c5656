import Attention

extension Safetensors {
  /// What a file says of one tensor.
  public struct Entry: Sendable, Equatable {
    public let name: String

    /// The element type as the format names it: `F32`, `BF16`, `U8`, …
    public let typeName: String

    /// The length of each dimension; empty for a single number.
    public let shape: [Int]

    /// Where the elements stand, in bytes from the start of the data; at no particular alignment.
    public let offsets: Range<Int>

    /// The same type in this package; `nil` for one that a ``Tensor`` cannot hold.
    public var elementType: ElementType? { ElementType(rawValue: typeName) }
  }
}

extension Safetensors.Entry {
  /// Checks one tensor of a header by itself.
  init(_ field: JSONField<SafetensorsHeader.Tensor>, name: String, dataByteCount: Int, file: String) throws {
    func error(_ found: String, _ expected: String) -> TensorFileError {
      TensorFileError(file: file, part: .tensor(name), found: found, expected: expected)
    }
    func require<Value>(_ field: JSONField<Value>?, _ key: String, _ expected: String) throws -> Value {
      switch field {
      case .value(let value): return value
      case .other(let found): throw error("\(key) \(found)", expected)
      case nil: throw error("no \(key)", expected)
      }
    }
    let tensor = try require(field, "entry", "an object with dtype, shape and data_offsets")
    let typeName = try require(tensor.dtype, "dtype", "dtype as a string")
    let shape = try require(tensor.shape, "shape", "shape as an array of integers")
    let offsets = try require(tensor.dataOffsets, "data_offsets", "data_offsets as two integers")

    guard let bitCount = SafetensorsType.bitCount(of: typeName) else {
      throw error("dtype \"\(typeName)\"", "one of \(SafetensorsType.names)")
    }
    guard offsets.count == 2, 0 <= offsets[0], offsets[0] <= offsets[1], offsets[1] <= dataByteCount else {
      throw error("data_offsets \(offsets)", "[begin, end] in order within the file's \(dataByteCount) bytes of data")
    }
    guard let bits = Self.bitCount(shape: shape, each: bitCount), bits % 8 == 0 else {
      throw error(
        "shape \(shape)", "lengths of 0 or more, and a size within the address space that fills whole bytes")
    }
    guard offsets[1] - offsets[0] == bits / 8 else {
      throw error("data_offsets \(offsets)", "\(bits / 8) bytes for \(typeName) \(shape)")
    }
    self.init(name: name, typeName: typeName, shape: shape, offsets: offsets[0]..<offsets[1])
  }

  /// The bits that a shape takes; `nil` for a negative length or where a product overflows.
  ///
  /// A zero does not excuse the other lengths: whoever multiplies them in another order must not overflow either.
  private static func bitCount(shape: [Int], each: Int) -> Int? {
    var total = each
    for length in shape where length != 0 {
      let (product, overflow) = total.multipliedReportingOverflow(by: length)
      guard length > 0, !overflow else { return nil }
      total = product
    }
    return shape.contains(0) ? 0 : total
  }

  /// Checks that the tensors fill the data: no two of them overlap, and no byte belongs to none.
  static func checkCoverage(of entries: [Safetensors.Entry], dataByteCount: Int, file: String) throws {
    var position = 0
    for entry in entries {
      guard entry.offsets.lowerBound == position else {
        throw TensorFileError(
          file: file, part: .tensor(entry.name),
          found: entry.offsets.lowerBound < position
            ? "data that begins at \(entry.offsets.lowerBound), inside another tensor's"
            : "a hole before its data, which begins at \(entry.offsets.lowerBound)",
          expected: "data that begins at \(position), where the tensor before it ends")
      }
      position = entry.offsets.upperBound
    }
    guard position == dataByteCount else {
      throw TensorFileError(
        file: file, found: "\(dataByteCount) bytes of data", expected: "\(position) bytes, which the tensors take")
    }
  }
}
