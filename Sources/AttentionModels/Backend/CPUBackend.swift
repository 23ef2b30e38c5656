import Attention
import CAttention
import TensorFiles

/// Layers on the CPU, by the kernels of CAttention; attention by an engine, on whatever devices that has.
final class CPUBackend: ModelBackend {
  /// Rows of float32 in the host's memory.
  final class Matrix {
    let rows: Int
    let columns: Int
    let storage: TensorStorage

    init(rows: Int, columns: Int) throws {
      self.rows = rows
      self.columns = columns
      storage = try TensorStorage(byteCount: Tensor.byteCount(shape: [rows, columns], elementType: .float32))
    }

    init(_ tensor: Tensor, rows: Int, columns: Int) {
      self.rows = rows
      self.columns = columns
      storage = tensor.storage
    }

    var floats: UnsafeMutablePointer<Float> { storage.base.assumingMemoryBound(to: Float.self) }

    func row(_ index: Int) -> UnsafeMutablePointer<Float> { floats + index * columns }

    /// The same memory as a tensor.
    func tensor(_ shape: [Int]) -> Tensor { Tensor(shape: shape, elementType: .float32, storage: storage) }
  }

  struct Weights {
    let matrix: WeightMatrix
    let type: attention_weights
    let hasShift: Bool
  }

  let engine: AttentionEngine
  private let kernels: attention_layer_kernels
  /// Outputs of a product that are computed together.
  private let panel: Int
  private let threads: Threads
  private let clock: AttentionClock

  /// Of each worker, for packing weights.
  private var scratch: [TensorStorage] = []
  private var scratchFloats = 0

  /// Below this many numbers, an operation is done before other threads have woken.
  private static let numbersWorthThreads = 16_384

  init(engine: AttentionEngine, clock: AttentionClock) throws {
    self.engine = engine
    self.clock = clock
    threads = try Threads()
    guard let all = try InstructionSet.standard().kernels?.pointee, let kernels = all.layers?.pointee else {
      throw AttentionError.cannotRun(device: "cpu", reason: "no kernels for this processor")
    }
    self.kernels = kernels
    panel = Int(all.panel)
  }

  // MARK: Transfers, which copy within the host

  func weights(_ matrix: WeightMatrix) throws -> Weights {
    let readable = try matrix.readable()
    let type: attention_weights =
      switch readable.type {
      case .f16: ATTENTION_W16
      case .bf16: ATTENTION_WB16
      case .q8_0: ATTENTION_Q8_0
      case .q4_0: ATTENTION_Q4_0
      case .q4_1: ATTENTION_Q4_1
      default: ATTENTION_W32
      }
    return Weights(matrix: readable, type: type, hasShift: type == ATTENTION_Q4_0 || type == ATTENTION_Q4_1)
  }

  func matrix(_ numbers: [Float], rows: Int, columns: Int) throws -> Matrix {
    Matrix(try Tensor(numbers, shape: [rows, columns]), rows: rows, columns: columns)
  }

  func floats(of matrix: Matrix) -> [Float] {
    Array(UnsafeBufferPointer(start: matrix.floats, count: matrix.rows * matrix.columns))
  }

  func rows(_ numbers: [Int], of matrix: Matrix) throws -> Matrix {
    let result = try Matrix(rows: numbers.count, columns: matrix.columns)
    for (index, row) in numbers.enumerated() {
      result.row(index).update(from: matrix.row(row), count: matrix.columns)
    }
    return result
  }

  func embed(_ ids: [Int], _ table: Weights) throws -> Matrix {
    let result = try Matrix(rows: ids.count, columns: table.matrix.columns)
    table.matrix.withBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      for (index, id) in ids.enumerated() {
        kernels.widen_weights(
          table.type, base + id * table.matrix.rowByteCount, table.matrix.columns, result.row(index))
      }
    }
    return result
  }

  // MARK: Products

  /// Outputs of a task: enough work to be worth handing out, few enough to share the last ones evenly.
  private static let outputsOfTask = 32

  func linear(_ x: Matrix, _ layers: [Linear<CPUBackend>]) throws -> [Matrix] {
    let results = try layers.map { try Matrix(rows: x.rows, columns: $0.weights.matrix.rows) }
    let isFew = x.rows <= kernels.few_rows
    if !isFew { try reserveScratch(x.columns * (panel + 1)) }
    let blocks = x.columns / 32
    let sums = try isFew && layers.contains { $0.weights.hasShift } ? Matrix(rows: x.rows, columns: blocks) : nil
    if let sums { for row in 0..<x.rows { kernels.block_sums(x.row(row), x.columns, sums.row(row)) } }

    // A task is some outputs of one of the layers; the tasks of all are one list.
    let step = max(panel, Self.outputsOfTask / panel * panel)
    let taskCounts = layers.map { ($0.weights.matrix.rows + step - 1) / step }
    let ends = taskCounts.reduce(into: []) { $0.append(($0.last ?? 0) + $1) }
    withBytes(of: layers.map(\.weights.matrix)[...]) { pointers in
      let products = layers.indices.map { index in
        let layer = layers[index]
        return attention_linear(
          type: layer.weights.type, weights: pointers[index], bias: layer.bias.map { UnsafePointer($0.floats) },
          outputs: layer.weights.matrix.rows, depth: x.columns, x: x.floats, x_stride: x.columns, sums: sums?.floats,
          rows: x.rows, y: results[index].floats, y_stride: results[index].columns)
      }
      threads.run(ends.last ?? 0) { task, worker in
        guard let index = ends.firstIndex(where: { task < $0 }) else { return }
        let first = (task - (ends[index] - taskCounts[index])) * step
        withUnsafePointer(to: products[index]) {
          kernels.linear(
            $0, first, min(first + step, $0.pointee.outputs),
            isFew ? nil : scratch[worker].base.assumingMemoryBound(to: Float.self))
        }
      }
    }
    return results
  }

  /// Memory for every worker.
  private func reserveScratch(_ floats: Int) throws {
    guard floats > scratchFloats else { return }
    scratch = try (0..<threads.count).map { _ in try TensorStorage(byteCount: floats * MemoryLayout<Float>.stride) }
    scratchFloats = floats
  }

  /// The bytes of several matrices at once.
  private func withBytes(
    of matrices: ArraySlice<WeightMatrix>, _ known: [UnsafeRawPointer?] = [], _ body: ([UnsafeRawPointer?]) -> Void
  ) {
    guard let first = matrices.first else { return body(known) }
    first.withBytes { withBytes(of: matrices.dropFirst(), known + [$0.baseAddress], body) }
  }

  // MARK: Rows

  func add(_ x: Matrix, to y: Matrix) {
    forRows(of: y) { [kernels] row in kernels.add(x.row(row), x.columns, y.row(row)) }
  }

  func layerNorm(_ x: Matrix, adding residual: Matrix?, _ norm: LayerNorm<CPUBackend>) throws -> Matrix {
    let result = try Matrix(rows: x.rows, columns: x.columns)
    forRows(of: x) { [kernels] row in
      kernels.layer_norm(
        x.row(row), residual?.row(row), norm.scale.floats, norm.shift.floats, norm.epsilon, x.columns, result.row(row))
    }
    return result
  }

  func rmsNorm(_ x: Matrix, scale: Matrix, epsilon: Float) throws -> Matrix {
    let result = try Matrix(rows: x.rows, columns: x.columns)
    forRows(of: x) { [kernels] row in
      kernels.rms_norm(x.row(row), scale.floats, epsilon, x.columns, result.row(row))
    }
    return result
  }

  func activate(_ x: Matrix, _ activation: Activation) {
    let function = activation == .gelu ? kernels.gelu : kernels.gelu_tanh
    forRows(of: x) { row in function?(x.row(row), x.columns, x.row(row)) }
  }

  func gate(_ gate: Matrix, _ up: Matrix) {
    forRows(of: gate) { [kernels] row in
      kernels.silu_gate(gate.row(row), up.row(row), gate.columns, gate.row(row))
    }
  }

  /// Calls `body` for every row, on all threads where there is enough to do.
  private func forRows(of matrix: Matrix, _ body: (Int) -> Void) {
    guard matrix.rows * matrix.columns >= Self.numbersWorthThreads else {
      for row in 0..<matrix.rows { body(row) }
      return
    }
    let step = max(1, Self.numbersWorthThreads / 4 / max(1, matrix.columns))
    threads.run(matrix.rows.tiles(of: step)) { task, _ in
      for row in task * step..<min((task + 1) * step, matrix.rows) { body(row) }
    }
  }

  // MARK: Attention

  func attention(
    query: Matrix, key: Matrix, value: Matrix, shape: AttentionShape, returning: AttentionOutputs
  ) throws -> (output: Matrix, result: AttentionResult) {
    let call = shape.call(
      query: query.tensor([query.rows, shape.heads, shape.headDimension]),
      key: key.tensor([key.rows, shape.keyValueHeads, shape.headDimension]),
      value: value.tensor([value.rows, shape.keyValueHeads, shape.headDimension]), returning: returning)
    let result = try clock.time { try engine.attention(call) }
    guard let output = result.output else {
      throw AttentionError.cannotRun(device: "engine", reason: "the output was not computed")
    }
    return (Matrix(output, rows: query.rows, columns: query.columns), result)
  }
}

// MARK: Decoding

extension CPUBackend {
  func rotate(_ x: Matrix, heads: Int, by rotary: RotaryEmbedding) {
    rotary.rotate(UnsafeMutableBufferPointer(start: x.floats, count: x.rows * x.columns), rows: x.rows, heads: heads)
  }

  func attention(
    query: Matrix, key: Matrix, value: Matrix, cache: KVCache, description: CacheDescription
  ) throws -> Matrix {
    try clock.time {
      let rows = [1, key.rows, description.keyValueHeads, description.headDimension]
      try cache.append(key: key.tensor(rows), value: value.tensor(rows), layout: .bshd)
      let output = try engine.scaledDotProductAttention(
        query: query.tensor([1, query.rows, description.heads, description.headDimension]), cache: cache, layout: .bshd)
      return Matrix(output, rows: query.rows, columns: query.columns)
    }
  }
}

extension AttentionShape {
  /// The call on packed rows `[tokens, heads, D]`.
  func call(query: Tensor, key: Tensor, value: Tensor, returning: AttentionOutputs) -> AttentionCall {
    var call = AttentionCall(query: query, key: key, value: value, layout: .thd)
    let ends = lengths.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
    call.cumulativeQueryLengths = ends
    call.cumulativeKeyLengths = ends
    call.mask = isCausal ? .causal(.lowerRight) : .none
    call.returning = returning.union(.output)
    call.topKeyCount = topKeyCount
    return call
  }
}
