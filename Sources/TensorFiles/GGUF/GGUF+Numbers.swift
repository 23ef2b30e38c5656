import Attention

extension GGUF {
  /// A tensor's numbers in float32, exact for every type.
  ///
  /// - Throws: ``TensorFileError`` where there is no tensor of this name.
  public func tensor(_ name: String) throws -> Tensor {
    guard let entry = self[name] else {
      throw TensorFileError(file: path, part: .tensor(name), found: "none", expected: "a tensor of this name")
    }
    return try Tensor(shape: entry.shape, elementType: .float32) { numbers in
      withBytes(of: entry) { entry.type.read($0, into: numbers.bindMemory(to: Float.self)) }
    }
  }
}

extension GGUFType {
  /// Writes the numbers that blocks stand for, as many as there are of both.
  package func read(_ blocks: UnsafeRawBufferPointer, into numbers: UnsafeMutableBufferPointer<Float>) {
    let count = min(blocks.count / blockByteCount, numbers.count / blockLength)
    for index in 0..<count {
      let block = Block(bytes: blocks, start: index * blockByteCount)
      let first = index * blockLength
      switch self {
      case .f32: numbers[first] = Float(bitPattern: UInt32(block.half(at: 0)) | UInt32(block.half(at: 2)) << 16)
      case .f16: numbers[first] = block.float(at: 0)
      case .bf16: numbers[first] = HalfPrecision.float(fromBrain: block.half(at: 0))
      case .q8_0:
        let d = block.float(at: 0)
        for i in 0..<32 { numbers[first + i] = d * Float(Int8(bitPattern: block.byte(2 + i))) }
      case .q4_0, .q4_1, .q5_0, .q5_1: block.read32(self, numbers, first)
      case .q4_K, .q5_K: block.readScaled(hasFifthBits: self == .q5_K, numbers, first)
      case .q6_K: block.read6(numbers, first)
      }
    }
  }
}

/// One block of quantised numbers.
private struct Block {
  let bytes: UnsafeRawBufferPointer
  let start: Int

  func byte(_ offset: Int) -> UInt8 { bytes[start + offset] }

  func half(at offset: Int) -> UInt16 { UInt16(byte(offset)) | UInt16(byte(offset + 1)) << 8 }

  func float(at offset: Int) -> Float { HalfPrecision.float(fromHalf: half(at: offset)) }

  /// `d · (q − 2ⁿ⁻¹)` or `d · q + m`: blocks of 32 with 4 bits each, and a fifth one where the type has it.
  func read32(_ type: GGUFType, _ numbers: UnsafeMutableBufferPointer<Float>, _ first: Int) {
    let hasMinimum = type == .q4_1 || type == .q5_1
    let hasFifthBits = type == .q5_0 || type == .q5_1
    let d = float(at: 0)
    let least: Float = hasMinimum ? float(at: 2) : d * (hasFifthBits ? -16 : -8)
    var offset = hasMinimum ? 4 : 2
    var fifth: UInt32 = 0
    if hasFifthBits {
      fifth = UInt32(half(at: offset)) | UInt32(half(at: offset + 2)) << 16
      offset += 4
    }
    for i in 0..<16 {
      let low = UInt32(byte(offset + i) & 15) | (fifth >> UInt32(i) & 1) << 4
      let high = UInt32(byte(offset + i) >> 4) | (fifth >> UInt32(i + 16) & 1) << 4
      numbers[first + i] = d * Float(low) + least
      numbers[first + i + 16] = d * Float(high) + least
    }
  }

  /// Q4_K and Q5_K: eight parts of 32, each with a scale and a minimum of 6 bits, packed into 12 bytes.
  func readScaled(hasFifthBits: Bool, _ numbers: UnsafeMutableBufferPointer<Float>, _ first: Int) {
    let (d, m) = (float(at: 0), float(at: 2))
    let quants = hasFifthBits ? 48 : 16
    for part in 0..<8 {
      let scale: UInt8
      let minimum: UInt8
      if part < 4 {
        scale = byte(4 + part) & 63
        minimum = byte(8 + part) & 63
      } else {
        scale = byte(8 + part) & 15 | (byte(part) >> 6) << 4
        minimum = byte(8 + part) >> 4 | (byte(4 + part) >> 6) << 4
      }
      let (step, least) = (d * Float(scale), m * Float(minimum))
      for i in 0..<32 {
        let pair = byte(quants + part / 2 * 32 + i)
        var q = part % 2 == 0 ? pair & 15 : pair >> 4
        if hasFifthBits { q |= (byte(16 + i) >> UInt8(part) & 1) << 4 }
        numbers[first + part * 32 + i] = step * Float(q) - least
      }
    }
  }

  /// Q6_K: 128 bytes of low halves, 64 of high quarters, sixteen signed scales, and `d`; two halves of 128 numbers.
  func read6(_ numbers: UnsafeMutableBufferPointer<Float>, _ first: Int) {
    let d = float(at: 208)
    for half in 0..<2 {
      for quarter in 0..<4 {
        for i in 0..<32 {
          let pair = byte(half * 64 + quarter % 2 * 32 + i)
          let low = quarter < 2 ? pair & 15 : pair >> 4
          let high = byte(128 + half * 32 + i) >> UInt8(2 * quarter) & 3
          let scale = Int8(bitPattern: byte(192 + half * 8 + quarter * 2 + i / 16))
          numbers[first + half * 128 + quarter * 32 + i] = d * Float(scale) * Float(Int(low | high << 4) - 32)
        }
      }
    }
  }
}
