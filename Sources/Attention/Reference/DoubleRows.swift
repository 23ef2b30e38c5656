#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The rows of one operand of one head, converted to float64 and padded with zeros to a multiple of eight.
struct DoubleRows {
  private let width: Int
  private let stride: Int
  private let elements: [Double]

  init(_ runs: [RowRun], width: Int, own: Tensor, past: Tensor? = nil) {
    self.width = width
    stride = (width + 7) / 8 * 8
    let count = runs.reduce(0) { $0 + $1.rowCount } * stride
    let stride = stride
    elements = Array(unsafeUninitializedCapacity: count) { buffer, initialized in
      buffer.initialize(repeating: 0)
      var row = 0
      for run in runs {
        let source = run.source == .past ? past ?? own : own
        for index in 0..<run.rowCount {
          source.readDoubles(
            from: run.offset + index * run.rowStride,
            into: UnsafeMutableBufferPointer(rebasing: buffer[(row * stride)..<(row * stride + width)]))
          row += 1
        }
      }
      initialized = count
    }
  }

  /// `Σ_d self[i][d] · other[j][d]`, in eight partial sums.
  func dot(row i: Int, _ other: DoubleRows, row j: Int) -> Double {
    elements.withUnsafeBytes { left in
      other.elements.withUnsafeBytes { right in
        var sums = SIMD8<Double>.zero
        let size = MemoryLayout<Double>.size
        for d in Swift.stride(from: 0, to: stride, by: 8) {
          sums +=
            left.loadUnaligned(fromByteOffset: (i * stride + d) * size, as: SIMD8<Double>.self)
            * right.loadUnaligned(fromByteOffset: (j * stride + d) * size, as: SIMD8<Double>.self)
        }
        return sums.sum()
      }
    }
  }

  /// The mean of some rows, which are not none, element by element.
  func mean(of rows: Range<Int>) -> [Double] {
    var mean = [Double](repeating: 0, count: width)
    for row in rows { add(1 / Double(rows.count), row: row, to: &mean) }
    return mean
  }

  /// `sum += factor · self[j]`.
  func add(_ factor: Double, row j: Int, to sum: inout [Double]) {
    elements.withUnsafeBufferPointer { elements in
      sum.withUnsafeMutableBufferPointer { sum in
        for d in 0..<width { sum[d] += factor * elements[j * stride + d] }
      }
    }
  }
}

/// Reads what a mask adds to a score, whatever it is stored as.
struct MaskReader {
  private let tensor: Tensor
  private let layout: MaskLayout
  private let start: Int

  init?(_ tensor: Tensor?, _ layout: MaskLayout?, batch b: Int, head h: Int) {
    guard let tensor, let layout else { return nil }
    self.tensor = tensor
    self.layout = layout
    start = layout.offset(batch: b, head: h)
  }

  /// 0 or −∞ for a boolean mask, the element itself for an additive one.
  func bias(query i: Int, key j: Int) -> Double {
    let at = start + i * layout.queryStride + j * layout.keyStride
    guard layout.elementType != .bool else { return tensor.storage.bytes[at] == 0 ? -.infinity : 0 }
    var value = 0.0
    withUnsafeMutablePointer(to: &value) {
      tensor.readDoubles(from: at, into: UnsafeMutableBufferPointer(start: $0, count: 1))
    }
    return value
  }
}

/// Reads whether a block mask lets a query see a key.
struct BlockMaskReader {
  private let tensor: Tensor
  private let layout: BlockMaskLayout
  private let start: Int

  init?(_ mask: BlockMask?, _ layout: BlockMaskLayout?, batch b: Int, head h: Int) {
    guard let mask, let layout else { return nil }
    tensor = mask.visible
    self.layout = layout
    start = layout.grid.offset(batch: b, head: h)
  }

  func isVisible(query i: Int, key j: Int) -> Bool {
    let (row, column) = (i / layout.queryBlock, j / layout.keyBlock)
    return tensor.storage.bytes[start + row * layout.grid.queryStride + column * layout.grid.keyStride] != 0
  }
}

extension Tensor {
  /// Converts consecutive floating-point elements, from element `offset` on.
  fileprivate func readDoubles(from offset: Int, into target: UnsafeMutableBufferPointer<Double>) {
    let bytes = UnsafeRawPointer(storage.base)
    func convert<Bits>(_ type: Bits.Type, _ value: (Bits) -> Double) {
      let source = bytes.assumingMemoryBound(to: type) + offset
      for index in target.indices { target[index] = value(source[index]) }
    }
    switch elementType {
    case .float32: convert(Float.self) { Double($0) }
    case .float16: convert(UInt16.self) { Double(HalfPrecision.float(fromHalf: $0)) }
    case .bfloat16: convert(UInt16.self) { Double(HalfPrecision.float(fromBrain: $0)) }
    case .float64: convert(Double.self) { $0 }
    case .int32: convert(Int32.self) { Double($0) }
    case .int64: convert(Int64.self) { Double($0) }
    case .bool: convert(UInt8.self) { Double($0) }
    }
  }
}

func exponential(_ x: Double) -> Double { exp(x) }
func logarithm(_ x: Double) -> Double { log(x) }
func hyperbolicTangent(_ x: Double) -> Double { tanh(x) }
