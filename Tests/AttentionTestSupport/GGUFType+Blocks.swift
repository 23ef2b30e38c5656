import Attention
import TensorFiles

extension GGUFType {
  /// The types that the backends multiply by as they are.
  package static let ofKernels: [GGUFType] = [.f32, .f16, .bf16, .q8_0, .q4_0, .q4_1]

  /// The blocks that come nearest to numbers, of one of the ``ofKernels``.
  package func blocks(of numbers: [Float]) -> [UInt8] {
    stride(from: 0, to: numbers.count, by: blockLength).flatMap { block(numbers[$0..<$0 + blockLength]) }
  }

  /// The numbers that blocks stand for.
  package func numbers(of blocks: [UInt8]) -> [Float] {
    var numbers = [Float](repeating: 0, count: blocks.count / blockByteCount * blockLength)
    blocks.withUnsafeBytes { blocks in numbers.withUnsafeMutableBufferPointer { read(blocks, into: $0) } }
    return numbers
  }

  private func block(_ numbers: ArraySlice<Float>) -> [UInt8] {
    let most = numbers.max() ?? 0
    let least = numbers.min() ?? 0
    switch self {
    case .f16: return numbers.flatMap { Self.half($0).bytes }
    case .bf16: return numbers.flatMap { Self.bytes(HalfPrecision.brain(from: $0)) }
    case .q8_0:
      let d = Self.half(max(most, -least) / 127)
      return d.bytes + numbers.map { UInt8(bitPattern: Int8(clamping: Self.steps($0, d.value))) }
    case .q4_0:
      let d = Self.half((-least > most ? least : most) / -8)
      return d.bytes + Self.pairs(numbers.map { Self.steps($0, d.value) + 8 })
    case .q4_1:
      let d = Self.half((most - least) / 15)
      let m = Self.half(least)
      return d.bytes + m.bytes + Self.pairs(numbers.map { Self.steps($0 - m.value, d.value) })
    default: return numbers.flatMap { Self.bytes($0.bitPattern) }
    }
  }

  private static func steps(_ number: Float, _ step: Float) -> Int {
    step == 0 ? 0 : Int((number / step).rounded())
  }

  /// 32 numbers of 4 bits: byte `i` has number `i` low and number `i + 16` high.
  private static func pairs(_ numbers: [Int]) -> [UInt8] {
    let nibbles = numbers.map { UInt8(min(max($0, 0), 15)) }
    return zip(nibbles.prefix(16), nibbles.dropFirst(16)).map { $0 | $1 << 4 }
  }

  /// A number in float16: its bytes, and what it became.
  private static func half(_ number: Float) -> (bytes: [UInt8], value: Float) {
    let bits = HalfPrecision.half(from: number)
    return (bytes(bits), HalfPrecision.float(fromHalf: bits))
  }

  private static func bytes(_ bits: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: bits.littleEndian, Array.init)
  }
}
