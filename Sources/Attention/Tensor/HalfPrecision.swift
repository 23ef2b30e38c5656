/// Conversions between float32 and the 16-bit types by integer operations: a fixed cost on every processor, where the
/// compiler's own `Float16` conversion is a call into its runtime on processors without F16C.
package enum HalfPrecision {
  /// The float32 that an IEEE 754 binary16 bit pattern stands for; exact, subnormals, infinities and NaN included.
  @inlinable
  package static func float(fromHalf bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let magnitude = UInt32(bits & 0x7fff) << 13
    if magnitude >= 0x0f80_0000 {
      // Infinity and NaN: the exponent becomes all ones again, the payload stays.
      return Float(bitPattern: sign | magnitude | 0x7f80_0000)
    }
    // As a float32 the pattern stands for 2⁻¹¹² of the half's value; multiplying also normalises subnormals.
    let scaled = Float(bitPattern: magnitude) * Float(bitPattern: 0x7780_0000)
    return Float(bitPattern: scaled.bitPattern | sign)
  }

  /// The nearest binary16 bit pattern, ties to even; too large becomes infinity, NaN stays NaN.
  @inlinable
  package static func half(from value: Float) -> UInt16 {
    let bits = value.bitPattern
    let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
    let magnitude = bits & 0x7fff_ffff
    if magnitude > 0x7f80_0000 { return sign | 0x7e00 }
    if magnitude >= 0x4780_0000 { return sign | 0x7c00 }
    if magnitude < 0x3880_0000 {
      // A subnormal half: adding 0.5 lets the float32 adder round at the half's last place, 2⁻²⁴.
      let shifted = Float(bitPattern: magnitude) + 0.5
      return sign | UInt16(truncatingIfNeeded: shifted.bitPattern &- 0x3f00_0000)
    }
    let odd = (magnitude >> 13) & 1
    let rounded = magnitude &- 0x3800_0000 &+ 0xfff &+ odd
    return sign | UInt16(truncatingIfNeeded: rounded >> 13)
  }

  /// The float32 that a bfloat16 bit pattern stands for; exact.
  @inlinable
  package static func float(fromBrain bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

  /// The nearest bfloat16 bit pattern, ties to even; NaN stays NaN.
  @inlinable
  package static func brain(from value: Float) -> UInt16 {
    let bits = value.bitPattern
    if bits & 0x7fff_ffff > 0x7f80_0000 { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
    let odd = (bits >> 16) & 1
    return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ odd) >> 16)
  }
}
