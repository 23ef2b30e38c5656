/// The type of one element of a ``Tensor``, as it is stored.
public enum ElementType: String, Sendable, Hashable, CaseIterable {
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case float64 = "F64"
  case int32 = "I32"
  case int64 = "I64"
  case bool = "BOOL"

  /// Bytes that one element takes.
  public var byteCount: Int {
    switch self {
    case .bool: 1
    case .float16, .bfloat16: 2
    case .float32, .int32: 4
    case .float64, .int64: 8
    }
  }

  /// Whether queries, keys and values may be stored in this type.
  public var isAttentionStorage: Bool {
    switch self {
    case .float32, .float16, .bfloat16: true
    case .float64, .int32, .int64, .bool: false
    }
  }

  /// Whether the elements are numbers with a fraction.
  public var isFloatingPoint: Bool { isAttentionStorage || self == .float64 }
}

extension ElementType {
  /// Half the distance from 1 to the next number: the relative error of rounding.
  package var unitRoundoff: Double {
    switch self {
    case .float16: 0x1p-11
    case .bfloat16: 0x1p-8
    case .float32: 0x1p-24
    case .float64, .int32, .int64, .bool: 0
    }
  }
}
