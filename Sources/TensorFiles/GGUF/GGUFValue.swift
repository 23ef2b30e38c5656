/// A value of a GGUF file's metadata.
public enum GGUFValue: Sendable, Equatable {
  case unsigned(UInt64)
  case signed(Int64)
  case number(Double)
  case bool(Bool)
  case string(String)
  case strings([String])
  case integers([Int64])
  case numbers([Double])

  /// The type numbers of the format.
  enum Kind: UInt32 {
    case uint8 = 0
    case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// The least bytes that one value takes.
    var byteCount: Int {
      switch self {
      case .uint8, .int8, .bool: 1
      case .uint16, .int16: 2
      case .uint32, .int32, .float32: 4
      case .uint64, .int64, .float64, .string: 8
      case .array: 12
      }
    }
  }

  public var asInteger: Int? {
    switch self {
    case .unsigned(let value): Int(exactly: value)
    case .signed(let value): Int(exactly: value)
    default: nil
    }
  }

  public var asDouble: Double? {
    switch self {
    case .number(let value): value
    case .unsigned(let value): Double(value)
    case .signed(let value): Double(value)
    default: nil
    }
  }

  public var asString: String? { if case .string(let value) = self { value } else { nil } }
  public var asBool: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var asStrings: [String]? { if case .strings(let value) = self { value } else { nil } }
  public var asIntegers: [Int64]? { if case .integers(let value) = self { value } else { nil } }
  public var asNumbers: [Double]? { if case .numbers(let value) = self { value } else { nil } }
}

extension GGUFValue: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unsigned(let value): "\(value)"
    case .signed(let value): "\(value)"
    case .number(let value): "\(value)"
    case .bool(let value): "\(value)"
    case .string(let value): "the string \"\(value)\""
    case .strings(let values): "\(values.count) strings"
    case .integers(let values): "\(values.count) integers"
    case .numbers(let values): "\(values.count) numbers"
    }
  }
}
