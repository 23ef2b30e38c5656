import Foundation
import OpenCL

/// Cosines and sines of rotary embedding, a row for each position (or whatever rows are numbered by).
public struct RotaryTables: Sendable {
  /// Float32 `[rows, pairs]`.
  public let cosines: Tensor
  public let sines: Tensor
  public let style: RotaryEmbedding.Style

  /// Rows for positions 0 ..< `positions`.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for an embedding that no row can be rotated by.
  public init(_ embedding: RotaryEmbedding, positions: Int) throws {
    try embedding.check(width: max(embedding.dimensions, 0))
    let (frequencies, magnitude) = (embedding.frequencies, embedding.magnitude)
    func table(_ function: (Double) -> Double) throws -> Tensor {
      try Tensor(shape: [positions, embedding.pairs], elementType: .float32) { bytes in
        let elements = bytes.bindMemory(to: Float.self)
        for position in 0..<positions {
          for (p, frequency) in frequencies.enumerated() {
            elements[position * frequencies.count + p] = Float(function(Double(position) * frequency) * magnitude)
          }
        }
      }
    }
    try self.init(cosines: table { cos($0) }, sines: table { sin($0) }, style: embedding.style)
  }

  /// Tables that are given: `[…, pairs]`, of a floating-point type.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for shapes that differ or have no pairs.
  public init(cosines: Tensor, sines: Tensor, style: RotaryEmbedding.Style) throws {
    guard cosines.shape == sines.shape, let pairs = cosines.shape.last, pairs > 0, cosines.elementType.isFloatingPoint,
      sines.elementType.isFloatingPoint
    else {
      throw AttentionError.invalid(
        argument: "cosines and sines", found: "shapes \(cosines.shape) and \(sines.shape)",
        expected: "floating-point tensors of one shape [rows, pairs]")
    }
    let shape = [cosines.count / pairs, pairs]
    self.cosines = try cosines.converted(to: .float32).reshaped(shape)
    self.sines = try sines.converted(to: .float32).reshaped(shape)
    self.style = style
  }

  /// Rows, and pairs of a row.
  public var rows: Int { cosines.shape[0] }
  public var pairs: Int { cosines.shape[1] }
}

extension AttentionEngine {
  /// Rotary embedding of a tensor.
  ///
  /// - Parameters:
  ///   - tensor: `[B, H, L, D]` in layout `bhsd`, `[B, L, H, D]` in `bshd`; float32, float16 or bfloat16. The first
  ///     `2 · pairs` elements of each row are rotated.
  ///   - layout: How the tensor's dimensions lie.
  ///   - tables: Cosines and sines.
  ///   - positions: `[B][L]`: which row of the tables each row of the tensor is rotated by; `b · L + i` where it is nil.
  /// - Returns: A tensor of the same shape and type.
  /// - Throws: ``AttentionError``.
  public func rotaryEmbedding(
    _ tensor: Tensor, _ tables: RotaryTables, positions: [[Int]]? = nil, layout: TensorLayout = .bhsd
  ) throws -> Tensor {
    let rotation = try Rotation(tensor.shape, tensor.elementType, tables, positions, layout)
    switch try roster.home() {
    case .host: return try rotation.rotated(tensor)
    case .device(let executor):
      return try executor.rotate(try executor.buffer(copying: tensor), rotation).tensor()
    }
  }

  /// As ``rotaryEmbedding(_:_:positions:layout:)``, of a tensor on the device, where the result stays.
  public func rotaryEmbedding(
    _ tensor: DeviceTensor, _ tables: RotaryTables, positions: [[Int]]? = nil, layout: TensorLayout = .bhsd
  ) throws -> DeviceTensor {
    let rotation = try Rotation(tensor.shape, tensor.elementType, tables, positions, layout)
    switch try roster.home() {
    case .host: return try deviceTensor(try rotation.rotated(try tensor.tensor()))
    case .device(let executor): return try executor.rotate(try executor.operand(.device(tensor)), rotation)
    }
  }
}

/// A checked rotation: which row of the tables each row of a tensor takes.
struct Rotation {
  let shape: [Int]
  let elementType: ElementType
  let tables: RotaryTables
  let heads: Int
  let length: Int
  let places: [Int32]
  let rows: RowLayout

  init(
    _ shape: [Int], _ elementType: ElementType, _ tables: RotaryTables, _ positions: [[Int]]?, _ layout: TensorLayout
  ) throws {
    guard layout != .thd, shape.count == 4 else {
      throw AttentionError.invalid(
        argument: "tensor", found: "shape \(shape), layout \(layout.rawValue)",
        expected: "[B, H, L, D] in bhsd or [B, L, H, D] in bshd")
    }
    guard elementType.isAttentionStorage else {
      throw AttentionError.invalid(argument: "tensor", found: elementType.rawValue, expected: "F32, F16 or BF16")
    }
    guard 2 * tables.pairs <= shape[3] else {
      throw AttentionError.invalid(
        argument: "tables", found: "\(tables.pairs) pairs", expected: "at most half of the row's \(shape[3]) elements")
    }
    let batch = shape[0]
    self.shape = shape
    self.elementType = elementType
    self.tables = tables
    (heads, length) = layout == .bhsd ? (shape[1], shape[2]) : (shape[2], shape[1])
    rows = RowLayout(layout, heads: heads, rows: length, width: shape[3])
    if let positions {
      guard positions.count == batch, positions.allSatisfy({ [length] in $0.count == length }) else {
        throw AttentionError.invalid(
          argument: "positions", found: "\(positions.map(\.count))", expected: "[B][L] = [\(batch)][\(length)]")
      }
    }
    // (A tensor without elements may have any number of rows.)
    let places = positions?.flatMap { $0 } ?? (shape.contains(0) ? [] : Array(0..<batch * length))
    if let wrong = places.first(where: { !(0..<tables.rows).contains($0) }) {
      throw AttentionError.invalid(argument: "positions", found: "\(wrong)", expected: "0 to \(tables.rows - 1)")
    }
    self.places = try places.map { place in
      guard let place = Int32(exactly: place) else {
        throw AttentionError.invalid(argument: "positions", found: "\(place)", expected: "below 2^31")
      }
      return place
    }
  }

  /// On the host.
  func rotated(_ tensor: Tensor) throws -> Tensor {
    var elements = tensor.floats()
    let pairs = tables.pairs
    let (cosines, sines) = (tables.cosines.floats(), tables.sines.floats())
    let embedding = RotaryEmbedding(dimensions: 2 * pairs, style: tables.style)
    elements.withUnsafeMutableBufferPointer { elements in
      cosines.withUnsafeBufferPointer { cosines in
        sines.withUnsafeBufferPointer { sines in
          for b in 0..<shape[0] {
            for h in 0..<heads {
              for i in 0..<length {
                let row = rows.offset(batch: b, head: h, row: i)
                let angles = Int(places[b * length + i]) * pairs..<(Int(places[b * length + i]) + 1) * pairs
                embedding.rotate(
                  .init(rebasing: elements[row..<row + 2 * pairs]), cosines: .init(rebasing: cosines[angles]),
                  sines: .init(rebasing: sines[angles]))
              }
            }
          }
        }
      }
    }
    return try Tensor(elements, shape: shape, as: elementType)
  }
}

extension OpenCLExecutor {
  /// Rotates a tensor on this device.
  fileprivate func rotate(_ input: Buffer, _ rotation: Rotation) throws -> DeviceTensor {
    let output = try makeBuffer(
      byteCount: try Tensor.byteCount(shape: rotation.shape, elementType: rotation.elementType))
    let count = rotation.shape.reduce(1, *)
    if count > 0 {
      let tables = (try buffer(copying: rotation.tables.cosines), try buffer(copying: rotation.tables.sines))
      let places = try buffer(copying: rotation.places)
      try withTurn {
        let kernel = try rotaryKernel(rotation.elementType)
        var arguments = ArgumentList(kernel)
        try arguments.add(input, tables.0, tables.1, places, output)
        try arguments.add(Int32(rotation.heads), Int32(rotation.length), Int32(rotation.shape[3]))
        try arguments.add(
          Int64(rotation.rows.batchStride), Int64(rotation.rows.headStride), Int64(rotation.rows.rowStride))
        try arguments.add(Int32(rotation.tables.pairs), rotation.tables.style == .interleaved)
        try queue.enqueueKernel(kernel, global: [count])
        try queue.flush()
      }
    }
    return DeviceTensor(shape: rotation.shape, elementType: rotation.elementType, memory: .device(output, self))
  }
}
