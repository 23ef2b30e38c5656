import Attention
import CAttention
import Foundation
import TensorFiles
import Testing

/// The products with weights, on every instruction set that this processor has, against float64.
@Suite struct LayerKernelTests {
  private static let types: [(GGUFType, attention_weights)] = [
    (.f32, ATTENTION_W32), (.f16, ATTENTION_W16), (.bf16, ATTENTION_WB16), (.q8_0, ATTENTION_Q8_0),
    (.q4_0, ATTENTION_Q4_0), (.q4_1, ATTENTION_Q4_1),
  ]

  private static func numbers(_ count: Int, seed: UInt64) -> [Float] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(state >> 40) / Float(1 << 24) * 2 - 1
    }
  }

  /// Blocks of random bits whose scales are small numbers.
  private static func blocks(_ type: GGUFType, count: Int) -> [UInt8] {
    let floats = numbers(count * type.blockByteCount, seed: 3)
    if type == .f32 { return numbers(count, seed: 3).flatMap { withUnsafeBytes(of: $0, Array.init) } }
    if type == .f16 { return numbers(count, seed: 3).flatMap { pair(HalfPrecision.half(from: $0)) } }
    if type == .bf16 { return numbers(count, seed: 3).flatMap { pair(HalfPrecision.brain(from: $0)) } }
    var bytes = floats.map { UInt8(truncatingIfNeeded: Int($0 * 100_000)) }
    for block in 0..<count {
      for place in 0..<(type == .q4_1 ? 2 : 1) {
        let scale = pair(HalfPrecision.half(from: floats[block * type.blockByteCount] * 0.01 + 0.02))
        bytes.replaceSubrange(
          block * type.blockByteCount + 2 * place..<block * type.blockByteCount + 2 * place + 2, with: scale)
      }
    }
    return bytes
  }

  private static func pair(_ bits: UInt16) -> [UInt8] { [UInt8(bits & 255), UInt8(bits >> 8)] }

  @Test(arguments: InstructionSet.available)
  func productsWithEveryType(set: InstructionSet) throws {
    let kernels = try #require(set.kernels).pointee
    let layers = try #require(kernels.layers).pointee
    let panel = Int(kernels.panel)
    for (type, cType) in Self.types {
      // Plain types have rows that are no whole blocks of 32.
      for depth in type.blockLength == 1 ? [64, 37] : [64] {
        let outputs = 2 * panel + 3
        let bytes = Self.blocks(type, count: outputs * depth / type.blockLength)
        var weights = [Float](repeating: 0, count: outputs * depth)
        bytes.withUnsafeBytes { bytes in weights.withUnsafeMutableBufferPointer { type.read(bytes, into: $0) } }
        let bias = Self.numbers(outputs, seed: 9)
        for rows in [1, 2, 3, 4, 5, 7, 12, 13, 25] {
          let x = Self.numbers(rows * depth, seed: 5)
          var sums = [Float](repeating: 0, count: rows * (depth / 32))
          var y = [Float](repeating: .nan, count: rows * outputs)
          var scratch = [Float](repeating: 0, count: depth * (panel + 1))
          for row in 0..<rows {
            x.withUnsafeBufferPointer { x in
              sums.withUnsafeMutableBufferPointer { sums in
                guard let x = x.baseAddress, let sums = sums.baseAddress else { return }
                layers.block_sums(x + row * depth, depth, sums + row * (depth / 32))
              }
            }
          }
          bytes.withUnsafeBytes { bytes in
            x.withUnsafeBufferPointer { x in
              y.withUnsafeMutableBufferPointer { y in
                bias.withUnsafeBufferPointer { bias in
                  sums.withUnsafeBufferPointer { sums in
                    var product = attention_linear(
                      type: cType, weights: bytes.baseAddress, bias: bias.baseAddress, outputs: outputs, depth: depth,
                      x: x.baseAddress, x_stride: depth, sums: sums.baseAddress, rows: rows, y: y.baseAddress,
                      y_stride: outputs)
                    layers.linear(&product, 0, panel, &scratch)
                    layers.linear(&product, panel, outputs, &scratch)
                  }
                }
              }
            }
          }
          for row in 0..<rows {
            for n in 0..<outputs {
              let truth = (0..<depth).reduce(Double(bias[n])) {
                $0 + Double(x[row * depth + $1]) * Double(weights[n * depth + $1])
              }
              let error = abs(Double(y[row * outputs + n]) - truth)
              guard error < 1e-4 else {
                Issue.record(
                  "\(type) rows \(rows) depth \(depth) [\(row)][\(n)]: \(y[row * outputs + n]), truth \(truth)")
                return
              }
            }
          }
        }
      }
    }
  }

  @Test(arguments: InstructionSet.available)
  func rowsOfEveryLength(set: InstructionSet) throws {
    let kernels = try #require(set.kernels).pointee
    let layers = try #require(kernels.layers).pointee
    for count in [1, 3, 4, 7, 16, 37] {
      let (x, other) = (Self.numbers(count, seed: 1).map { 4 * $0 }, Self.numbers(count, seed: 2))
      let (scale, shift) = (Self.numbers(count, seed: 3), Self.numbers(count, seed: 4))
      var y = [Float](repeating: 0, count: count)
      func expect(_ name: String, _ truth: (Int) -> Double) {
        for i in 0..<count { #expect(abs(Double(y[i]) - truth(i)) < 2e-5, "\(name) \(count) \(i)") }
      }
      let (wide, wideOther) = (x.map(Double.init), other.map(Double.init))
      let sums = zip(wide, wideOther).map(+)
      let mean = sums.reduce(0, +) / Double(count)
      let variance = sums.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)
      layers.layer_norm(x, other, scale, shift, 0.3, count, &y)
      expect("layer norm") {
        (sums[$0] - mean) / (variance + 0.3).squareRoot() * Double(scale[$0]) + Double(shift[$0])
      }
      let square = wide.reduce(0) { $0 + $1 * $1 } / Double(count)
      layers.rms_norm(x, scale, 0.3, count, &y)
      expect("rms norm") { wide[$0] / (square + 0.3).squareRoot() * Double(scale[$0]) }
      layers.gelu(x, count, &y)
      expect("gelu") { 0.5 * wide[$0] * (1 + erf(wide[$0] / 2.0.squareRoot())) }
      layers.gelu_tanh(x, count, &y)
      expect("gelu by tanh") {
        0.5 * wide[$0] * (1 + tanh((2 / Double.pi).squareRoot() * (wide[$0] + 0.044715 * pow(wide[$0], 3))))
      }
      layers.silu_gate(x, other, count, &y)
      expect("silu") { wide[$0] / (1 + exp(-wide[$0])) * wideOther[$0] }
      y = other
      layers.add(x, count, &y)
      expect("sum") { sums[$0] }
    }
  }
}
