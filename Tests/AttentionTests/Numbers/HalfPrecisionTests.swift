import Attention
import AttentionTestSupport
import Testing

@Suite("float16 and bfloat16")
struct HalfPrecisionTests {
  @Test("Every float16 pattern comes back")
  func halfRoundTrip() {
    let wrong = (0...UInt16.max).filter { bits in
      let value = HalfPrecision.float(fromHalf: bits)
      let back = HalfPrecision.half(from: value)
      return value.isNaN ? !HalfPrecision.float(fromHalf: back).isNaN : back != bits
    }
    #expect(wrong.isEmpty)
  }

  @Test("Every bfloat16 pattern comes back")
  func brainRoundTrip() {
    let wrong = (0...UInt16.max).filter { bits in
      let value = HalfPrecision.float(fromBrain: bits)
      let back = HalfPrecision.brain(from: value)
      return value.isNaN ? !HalfPrecision.float(fromBrain: back).isNaN : back != bits
    }
    #expect(wrong.isEmpty)
  }

  @Test(
    "float16 patterns that are known",
    arguments: [
      (0x0000, 0), (0x8000, -0.0), (0x3c00, 1), (0xc000, -2), (0x7bff, 65504), (0x0001, 0x1p-24), (0x03ff, 0x1.ff8p-15),
      (0x0400, 0x1p-14), (0x3555, 0x1.554p-2), (0x7c00, .infinity), (0xfc00, -.infinity),
    ] as [(UInt16, Float)])
  func halfValues(bits: UInt16, value: Float) {
    #expect(HalfPrecision.float(fromHalf: bits).bitPattern == value.bitPattern)
    #expect(HalfPrecision.half(from: value) == bits)
  }

  /// Half-way between two neighbours, and just beside it.
  @Test(
    "float16 rounds to nearest, ties to even",
    arguments: [
      (0x1.002p0, 0x3c00), (0x1.002002p0, 0x3c01), (0x1.006p0, 0x3c02), (0x1.005ffep0, 0x3c01), (65519.996, 0x7bff),
      (65520, 0x7c00), (-65520, 0xfc00), (1e10, 0x7c00), (0x1p-25, 0x0000), (0x1.000002p-25, 0x0001),
      (0x1.8p-24, 0x0002),
      (-0x1p-26, 0x8000), (0x1.ffcp-15, 0x0400), (0x1.ffbffep-15, 0x03ff), (0x1p-149, 0x0000),
    ] as [(Float, UInt16)])
  func halfRounding(value: Float, bits: UInt16) {
    #expect(HalfPrecision.half(from: value) == bits)
  }

  @Test(
    "bfloat16 rounds to nearest, ties to even",
    arguments: [
      (1, 0x3f80), (0x1.01p0, 0x3f80), (0x1.010002p0, 0x3f81), (0x1.03p0, 0x3f82), (0x1.02fffep0, 0x3f81),
      (.greatestFiniteMagnitude, 0x7f80), (-.greatestFiniteMagnitude, 0xff80), (0x1.fep127, 0x7f7f),
      (0x1.fefffep127, 0x7f7f),
      (0x1.ffp127, 0x7f80), (.infinity, 0x7f80), (-.infinity, 0xff80), (-0.0, 0x8000), (0x1p-149, 0x0000),
    ] as [(Float, UInt16)])
  func brainRounding(value: Float, bits: UInt16) {
    #expect(HalfPrecision.brain(from: value) == bits)
  }

  @Test("NaN stays NaN, whatever its payload", arguments: [0x7f80_0001, 0x7fff_ffff, 0xff80_0001, 0x7fc0_0000])
  func notANumber(bits: UInt32) {
    let value = Float(bitPattern: bits)
    #expect(HalfPrecision.float(fromHalf: HalfPrecision.half(from: value)).isNaN)
    #expect(HalfPrecision.float(fromBrain: HalfPrecision.brain(from: value)).isNaN)
  }

  #if !(os(macOS) && arch(x86_64))
    @Test("Every float16 pattern is Swift's")
    func swiftHalf() {
      let wrong = (0...UInt16.max).filter { bits in
        let (ours, swift) = (HalfPrecision.float(fromHalf: bits), Float(Float16(bitPattern: bits)))
        return ours.isNaN ? !swift.isNaN : ours.bitPattern != swift.bitPattern
      }
      #expect(wrong.isEmpty)
    }

    @Test("Rounding to float16 is Swift's")
    func swiftRounding() {
      var numbers = SeededNumbers(seed: 11)
      var wrong: [Float] = []
      for _ in 0..<300_000 {
        // Exponents about those of float16, with every bit of the significand at random.
        let bits = UInt32(truncatingIfNeeded: numbers.next())
        let exponent = UInt32.random(in: 100...145, using: &numbers)
        let value = Float(bitPattern: bits & 0x807f_ffff | exponent << 23)
        if HalfPrecision.half(from: value) != Float16(value).bitPattern { wrong.append(value) }
      }
      #expect(wrong.isEmpty)
    }
  #endif
}
