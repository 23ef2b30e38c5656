/// How byte-level vocabularies write bytes: as themselves where Latin-1 prints them, otherwise as U+0100 and on, in order.
/// A blank is `Ġ`, a line feed `Ċ`.
enum ByteAlphabet {
  /// The scalar of every byte.
  static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (UInt8.min...UInt8.max).map { byte in
      switch byte {
      case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: return Unicode.Scalar(byte)
      default:
        defer { next += 1 }
        return Unicode.Scalar(next) ?? " "
      }
    }
  }()

  private static let bytes = Dictionary(uniqueKeysWithValues: zip(scalars, UInt8.min...UInt8.max))

  /// The bytes that a token stands for; a scalar outside the alphabet stands for itself.
  static func bytes(of token: String) -> [UInt8] {
    token.unicodeScalars.flatMap { scalar in bytes[scalar].map { [$0] } ?? Array(String(scalar).utf8) }
  }
}
