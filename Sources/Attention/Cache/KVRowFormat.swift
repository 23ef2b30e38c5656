/// Rows of a cache on the host, byte for byte as Kernels/append.cl makes them.
package struct KVRowFormat: Sendable, Hashable {
  package let storage: KVCacheStorage
  package let width: Int

  package init(_ storage: KVCacheStorage, width: Int) {
    self.storage = storage
    self.width = width
  }

  package var byteCount: Int { storage.rowBytes(width) }

  /// Writes a row.
  package func encode(_ row: UnsafeBufferPointer<Float>, to bytes: UnsafeMutableRawBufferPointer) {
    switch storage {
    case .float32: Tensor.store(row, to: bytes, as: .float32)
    case .float16: Tensor.store(row, to: bytes, as: .float16)
    case .bfloat16: Tensor.store(row, to: bytes, as: .bfloat16)
    case .q8_0:
      for block in 0..<width / 32 {
        let x = UnsafeBufferPointer(rebasing: row[block * 32..<block * 32 + 32])
        let largest = x.reduce(Float(0)) { abs($1) > $0 || $1.isNaN ? abs($1) : $0 }
        let scale = largest / 127
        let inverse = scale == 0 ? 0 : 1 / scale
        for (n, value) in x.enumerated() {
          bytes[block * 32 + n] = UInt8(bitPattern: Int8(Self.clamped(value * inverse, -128, 127, .toNearestOrEven)))
        }
        store(scale: scale, at: width + block * 2, bytes)
      }
    case .q4_0:
      for block in 0..<width / 32 {
        let x = UnsafeBufferPointer(rebasing: row[block * 32..<block * 32 + 32])
        let largest = x.reduce(Float(0)) { abs($1) <= abs($0) ? $0 : $1 }
        let scale = largest / -8
        let inverse = scale == 0 ? 0 : 1 / scale
        for n in 0..<16 {
          let low = UInt8(Self.clamped(Float(8.5).addingProduct(x[n], inverse), 0, 15, .towardZero))
          let high = UInt8(Self.clamped(Float(8.5).addingProduct(x[n + 16], inverse), 0, 15, .towardZero))
          bytes[block * 16 + n] = low | high << 4
        }
        store(scale: scale, at: width / 2 + block * 2, bytes)
      }
    }
  }

  /// Writes a row where there is room for it.
  func encode(_ row: UnsafeBufferPointer<Float>, to place: UnsafeMutableRawPointer) {
    encode(row, to: UnsafeMutableRawBufferPointer(start: place, count: byteCount))
  }

  /// The numbers that a row stands for.
  package func decode(_ bytes: UnsafeRawBufferPointer) -> [Float] {
    func bits(_ index: Int) -> UInt16 { bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self) }
    func scale(at offset: Int) -> Float {
      HalfPrecision.float(fromHalf: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }
    switch storage {
    case .float32: return (0..<width).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    case .float16: return (0..<width).map { HalfPrecision.float(fromHalf: bits($0)) }
    case .bfloat16: return (0..<width).map { HalfPrecision.float(fromBrain: bits($0)) }
    case .q8_0:
      return (0..<width).map { Float(Int8(bitPattern: bytes[$0])) * scale(at: width + $0 / 32 * 2) }
    case .q4_0:
      return (0..<width).map { d in
        let byte = bytes[d / 32 * 16 + d % 16]
        return Float(Int(d % 32 < 16 ? byte & 15 : byte >> 4) - 8) * scale(at: width / 2 + d / 32 * 2)
      }
    }
  }

  private func store(scale: Float, at offset: Int, _ bytes: UnsafeMutableRawBufferPointer) {
    bytes.storeBytes(of: HalfPrecision.half(from: scale), toByteOffset: offset, as: UInt16.self)
  }

  /// A whole number between bounds, 0 for NaN: the scale carries that.
  private static func clamped(
    _ x: Float, _ low: Float, _ high: Float, _ rule: FloatingPointRoundingRule
  ) -> Int {
    x.isNaN ? 0 : Int(min(max(x.rounded(rule), low), high))
  }
}
