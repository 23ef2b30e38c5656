/// Reads the head of a GGUF file from front to back; nothing in it is believed before it is seen to fit the file.
struct GGUFCursor {
  let file: String
  let bytes: UnsafeRawBufferPointer
  private(set) var position = 0

  init(_ file: MappedFile) {
    self.file = file.path
    bytes = file.bytes
  }

  private var left: Int { bytes.count - position }

  /// A little-endian integer.
  mutating func integer<Value: FixedWidthInteger>(_ what: @autoclosure () -> String) throws -> Value {
    let size = MemoryLayout<Value>.size
    guard size <= left else { throw ended(what(), size) }
    defer { position += size }
    return Value(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: Value.self))
  }

  /// A length that stands before as many things of `byteCount` bytes or more.
  mutating func count(of byteCount: Int, _ what: @autoclosure () -> String) throws -> Int {
    let count: UInt64 = try integer(what())
    guard count <= UInt64(left / byteCount) else {
      throw TensorFileError(
        file: file, found: "\(what()) of length \(count) at byte \(position - 8)",
        expected: "no more than the \(left) bytes that follow")
    }
    return Int(count)
  }

  /// A text: its length, and its bytes in UTF-8. Vocabularies hold pieces of characters, so what is no UTF-8 is repaired.
  mutating func string(_ what: @autoclosure () -> String) throws -> String {
    let count = try count(of: 1, what())
    defer { position += count }
    return String(decoding: bytes[position..<position + count], as: UTF8.self)
  }

  /// A value's type.
  mutating func kind(_ key: String) throws -> GGUFValue.Kind {
    let number: UInt32 = try integer("the type of '\(key)'")
    guard let kind = GGUFValue.Kind(rawValue: number) else {
      throw TensorFileError(
        file: file, part: .metadata(key), found: "type \(number)", expected: "a type of the format, 0 to 12")
    }
    return kind
  }

  mutating func value(_ kind: GGUFValue.Kind, key: String) throws -> GGUFValue {
    switch kind {
    case .string: return .string(try string("metadata '\(key)'"))
    case .bool: return .bool(try integer("metadata '\(key)'") as UInt8 != 0)
    case .array: return try array(key)
    case .float32, .float64: return .number(try number(kind, key))
    case .uint8, .uint16, .uint32, .uint64: return .unsigned(UInt64(truncatingIfNeeded: try whole(kind, key)))
    case .int8, .int16, .int32, .int64: return .signed(try whole(kind, key))
    }
  }

  private mutating func array(_ key: String) throws -> GGUFValue {
    let kind = try kind(key)
    let count = try count(of: kind.byteCount, "metadata '\(key)'")
    switch kind {
    case .string: return .strings(try (0..<count).map { _ in try string("metadata '\(key)'") })
    case .float32, .float64: return .numbers(try (0..<count).map { _ in try number(kind, key) })
    case .array:
      throw TensorFileError(file: file, part: .metadata(key), found: "a list of lists", expected: "a list of values")
    case .bool: return .integers(try (0..<count).map { _ in Int64(try integer("metadata '\(key)'") as UInt8) })
    default: return .integers(try (0..<count).map { _ in try whole(kind, key) })
    }
  }

  private mutating func number(_ kind: GGUFValue.Kind, _ key: String) throws -> Double {
    kind == .float32
      ? Double(Float(bitPattern: try integer("metadata '\(key)'")))
      : Double(bitPattern: try integer("metadata '\(key)'"))
  }

  private mutating func whole(_ kind: GGUFValue.Kind, _ key: String) throws -> Int64 {
    let what = "metadata '\(key)'"
    return switch kind {
    case .uint8: Int64(try integer(what) as UInt8)
    case .int8: Int64(try integer(what) as Int8)
    case .uint16: Int64(try integer(what) as UInt16)
    case .int16: Int64(try integer(what) as Int16)
    case .uint32: Int64(try integer(what) as UInt32)
    case .int32: Int64(try integer(what) as Int32)
    default: try integer(what) as Int64
    }
  }

  private func ended(_ what: String, _ size: Int) -> TensorFileError {
    TensorFileError(
      file: file, found: "the file's end at byte \(bytes.count)", expected: "\(what): \(size) bytes at \(position)")
  }
}
