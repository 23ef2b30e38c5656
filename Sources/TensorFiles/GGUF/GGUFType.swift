// The names are the format's.
// swift-format-ignore: AlwaysUseLowerCamelCase
/// How a GGUF file stores the numbers of a tensor: in blocks, each of some numbers and some bytes.
///
/// | type | a block | its numbers |
/// |---|---|---|
/// | F32, F16, BF16 | one number | as they are |
/// | Q8_0 | half `d`, 32 × int8 `q` | `d · q` |
/// | Q4_0 | half `d`, 16 bytes of two 4-bit `q` | `d · (q − 8)` |
/// | Q4_1 | halves `d`, `m`, 16 bytes of two 4-bit `q` | `d · q + m` |
/// | Q5_0, Q5_1 | as Q4_0 (− 16) and Q4_1, with 32 bits more: the fifth bits of `q` | likewise |
/// | Q4_K, Q5_K, Q6_K | 256 numbers with scales of 16 or 32 of them | `d · scale · q − m · minimum` |
///
/// The low half of byte `i` is number `i` of a 32-block, the high half number `i + 16`.
public enum GGUFType: UInt32, Sendable, Hashable, CaseIterable {
  case f32 = 0
  case f16 = 1
  case q4_0 = 2
  case q4_1 = 3
  case q5_0 = 6
  case q5_1 = 7
  case q8_0 = 8
  case q4_K = 12
  case q5_K = 13
  case q6_K = 14
  case bf16 = 30

  /// The name that the format gives it.
  public var name: String { "\(self)".uppercased() }

  /// The numbers of a block; rows are whole blocks.
  public var blockLength: Int {
    switch self {
    case .f32, .f16, .bf16: 1
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: 32
    case .q4_K, .q5_K, .q6_K: 256
    }
  }

  /// The bytes of a block.
  public var blockByteCount: Int {
    switch self {
    case .f32: 4
    case .f16, .bf16: 2
    case .q4_0: 18
    case .q4_1: 20
    case .q5_0: 22
    case .q5_1: 24
    case .q8_0: 34
    case .q4_K: 144
    case .q5_K: 176
    case .q6_K: 210
    }
  }

  static var names: String { allCases.map(\.name).joined(separator: ", ") }
}
