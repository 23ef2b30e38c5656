import Attention

/// The element types of the safetensors format, of which ``ElementType`` has some.
enum SafetensorsType {
  /// The bits of one element of each type; the sub-byte types are packed.
  private static let bitCounts: [String: Int] = [
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
  ]

  /// `nil` for a type that the format does not have.
  static func bitCount(of name: String) -> Int? { bitCounts[name] }

  /// Every type of the format, for messages.
  static var names: String { bitCounts.keys.sorted().joined(separator: ", ") }

  /// The types that a ``Tensor`` can hold, for messages.
  static var tensorNames: String { ElementType.allCases.map(\.rawValue).joined(separator: ", ") }
}
