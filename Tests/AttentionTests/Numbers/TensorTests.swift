import Attention
import AttentionTestSupport
import Testing

@Suite("Tensors")
struct TensorTests {
  @Test("Numbers come back as they were stored", arguments: ElementType.allCases.filter(\.isFloatingPoint))
  func roundTrip(type: ElementType) throws {
    let values: [Float] = [0, 1, -2, 0.5, 96, -0.0078125, .infinity, -.infinity]
    let tensor = try Tensor(values, shape: [2, 4], as: type)
    #expect(tensor.floats() == values)
    #expect(tensor.doubles() == values.map(Double.init))
    #expect(tensor.byteCount == 8 * type.byteCount)
    #expect(try tensor.converted(to: .float64).converted(to: type).bits == tensor.bits)
  }

  @Test("Booleans and integers")
  func others() throws {
    #expect(try Tensor([true, false, true], shape: [3]).floats() == [1, 0, 1])
    #expect(try Tensor(integers: [3, -7], shape: [2], as: .int64).integers() == [3, -7])
    #expect(try Tensor(integers: [3, -7], shape: [2]).doubles() == [3, -7])
    #expect(throws: AttentionError.self) { try Tensor([1], shape: [1]).integers() }
  }

  @Test("Integers that a type does not hold")
  func integers() {
    #expect(throws: AttentionError.self) { try Tensor(integers: [1 << 31], shape: [1], as: .int32) }
    #expect(throws: AttentionError.self) { try Tensor(integers: [1], shape: [1], as: .float32) }
    #expect(throws: AttentionError.self) { try Tensor(integers: [1, 2], shape: [1]) }
  }

  @Test("Numbers that float32 does not hold are rounded once")
  func conversions() throws {
    let odd = try Tensor(integers: [16_777_217], shape: [1])
    #expect(try odd.converted(to: .float64).doubles() == [16_777_217])
    // Just above, at, and just below the middle between two numbers of float16, and of bfloat16.
    for (type, bit) in [(ElementType.float16, 0x1p-10), (.bfloat16, 0x1p-7)] {
      let middles = [1 + bit / 2 + 0x1p-40, 1 + bit / 2, 1 + bit / 2 - 0x1p-40, -1 - bit / 2 - 0x1p-40]
      let tensor = try Tensor(shape: [4], elementType: .float64) { bytes in
        _ = bytes.bindMemory(to: Double.self).update(fromContentsOf: middles)
      }
      #expect(try tensor.converted(to: type).doubles() == [1 + bit, 1, 1, -1 - bit])
    }
    let extremes = try Tensor([.infinity, -.infinity, 0, -0.0, .nan], shape: [5], as: .float64).converted(to: .float16)
    #expect(extremes.floats().prefix(4) == [.infinity, -.infinity, 0, 0])
    #expect(extremes.floats()[4].isNaN)
  }

  @Test("Another shape of the same elements")
  func reshaped() throws {
    let tensor = try Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
    #expect(try tensor.reshaped([3, 1, 2]).shape == [3, 1, 2])
    #expect(try tensor.reshaped([6]).floats() == tensor.floats())
    #expect(throws: AttentionError.self) { try tensor.reshaped([7]) }
  }

  @Test("Shapes that cannot be", arguments: [[-1], [2, -3, 0], [.max, 2], [1 << 40, 1 << 40], [0, .max, .max]])
  func badShapes(shape: [Int]) {
    let error = #expect(throws: AttentionError.self) {
      try Tensor(shape: shape, elementType: .float32) { _ in }
    }
    #expect(error.map { "\($0)" }?.hasPrefix("shape: ") == true)
  }

  @Test("Too few or too many values")
  func counts() {
    #expect(throws: AttentionError.self) { try Tensor([1, 2], shape: [3]) }
    #expect(throws: AttentionError.self) { try Tensor([true], shape: [2]) }
    #expect(throws: AttentionError.self) { try Tensor([1], shape: [1], as: .int32) }
  }

  @Test("A size that no host has is an error, not the end of the process")
  func outOfMemory() {
    #expect(throws: AttentionError.outOfMemory(bytes: 1 << 60)) {
      try Tensor(shape: [1 << 60], elementType: .bool) { _ in }
    }
  }
}
