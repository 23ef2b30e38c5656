import Attention
import CAttention
import Foundation
import Testing

@Suite("Instruction sets and their functions")
struct InstructionSetTests {
  @Test func theBaselineIsAlwaysThere() throws {
    #expect(InstructionSet.available.last == .baseline)
    #expect(InstructionSet.available.contains(try InstructionSet.standard()))
  }

  private typealias Function = @convention(c) (UnsafePointer<Float>?, Int, UnsafeMutablePointer<Float>?) -> Void

  /// Calls a kernel on the numbers.
  private static func apply(
    _ set: InstructionSet, _ numbers: [Float], _ kernel: KeyPath<attention_kernels, Function?>
  ) throws -> [Float] {
    let kernels = try #require(set.kernels)
    let function = try #require(kernels.pointee[keyPath: kernel])
    return Array(unsafeUninitializedCapacity: numbers.count) { buffer, count in
      function(numbers, numbers.count, buffer.baseAddress)
      count = numbers.count
    }
  }

  /// From the least that is not 0 to the largest that is not ∞, an odd number of them.
  private static let exponents = (0...35_210).map { Float($0) * 0.005 - 87.68 }

  @Test("e^x within 2 units in the last place", arguments: InstructionSet.available)
  func exponential(set: InstructionSet) throws {
    for (x, found) in zip(Self.exponents, try Self.apply(set, Self.exponents, \.exponentials)) {
      let expected = Float(exp(Double(x)))
      #expect(abs(found - expected) <= 2 * expected.ulp, "e^\(x)")
    }
    let special = try Self.apply(set, [.nan, .infinity, -.infinity, 100, -100, 0], \.exponentials)
    #expect(special[0].isNaN && special[1...] == [.infinity, 0, .infinity, 0, 1])
  }

  @Test("tanh x", arguments: InstructionSet.available)
  func hyperbolicTangent(set: InstructionSet) throws {
    let numbers = (-4000...4000).map { Float($0) * 0.003 } + [1e-30, -1e-6]
    for (x, found) in zip(numbers, try Self.apply(set, numbers, \.hyperbolic_tangents)) {
      #expect(abs(Double(found) - tanh(Double(x))) <= 3e-7 * abs(tanh(Double(x))), "tanh \(x)")
    }
    let special = try Self.apply(set, [.nan, .infinity, -.infinity, 0], \.hyperbolic_tangents)
    #expect(special[0].isNaN && special[1...] == [1, -1, 0])
  }

  @Test("Every 16-bit number there and back", arguments: InstructionSet.available, [ElementType.float16, .bfloat16])
  func halves(set: InstructionSet, type: ElementType) throws {
    let kernels = try #require(set.kernels).pointee
    let storage = try #require(type.cStorage)
    let bits = (0...UInt16.max).map { $0 }
    var floats = [Float](repeating: 0, count: bits.count)
    var back = [UInt16](repeating: 0, count: bits.count)
    kernels.widen(storage, bits, bits.count, &floats)
    kernels.narrow(storage, floats, floats.count, &back)
    for (index, float) in floats.enumerated() {
      let half = Float(Float16(bitPattern: bits[index]))
      let expected = type == .float16 ? half : Float(bitPattern: UInt32(bits[index]) << 16)
      #expect(float.isNaN ? expected.isNaN : float.bitPattern == expected.bitPattern, "\(bits[index])")
      #expect(float.isNaN || back[index] == bits[index], "\(bits[index])")
    }
  }

  @Test("Rounding to 16 bits: nearest, ties to even", arguments: InstructionSet.available)
  func rounding(set: InstructionSet) throws {
    let kernels = try #require(set.kernels).pointee
    // A step that is prime to everything visits all exponents and many fractions.
    let floats = (0..<40_001).map { Float(bitPattern: UInt32(truncatingIfNeeded: $0 &* 107_377)) }
    var half = [UInt16](repeating: 0, count: floats.count)
    var brain = half
    kernels.narrow(ATTENTION_FLOAT16, floats, floats.count, &half)
    kernels.narrow(ATTENTION_BFLOAT16, floats, floats.count, &brain)
    for (index, float) in floats.enumerated() {
      if float.isNaN {
        #expect(Float16(bitPattern: half[index]).isNaN && Float(bitPattern: UInt32(brain[index]) << 16).isNaN)
      } else {
        #expect(half[index] == HalfPrecision.half(from: float), "\(float)")
        #expect(brain[index] == HalfPrecision.brain(from: float), "\(float)")
      }
    }
  }
}
