import Attention
import OpenCL
import TensorFiles

/// Layers and attention on one OpenCL device: what one computes and the next reads stays there.
final class OpenCLBackend: ModelBackend {
  /// Rows of float32 on the device.
  final class Matrix {
    let rows: Int
    let columns: Int
    let buffer: Buffer

    init(rows: Int, columns: Int, buffer: Buffer) {
      self.rows = rows
      self.columns = columns
      self.buffer = buffer
    }
  }

  struct Weights {
    let type: GGUFType
    let rows: Int
    let columns: Int
    let rowByteCount: Int
    let buffer: Buffer
  }

  private let clock: AttentionClock
  let engine: AttentionEngine
  private let executor: OpenCLExecutor
  private let tiles: StagedTiles
  /// Work-items that share a row.
  private let items: Int
  private var programs: [GGUFType: LayerKernels] = [:]
  /// What padded sequences were attended through last, and for which number and heads of them.
  private var padded: (shape: [Int], cache: KVCache)?

  /// With as few rows, a product is bound by reading the weights.
  private static let fewRows = 8

  /// - Parameter executor: The engine's own.
  init(engine: AttentionEngine, executor: OpenCLExecutor, clock: AttentionClock) throws {
    self.clock = clock
    self.engine = engine
    self.executor = executor
    let profile = DeviceProfile(executor.device)
    let (layers, kernels) = try TilesRejected.firstAccepted(
      of: LayerProgram.candidates(weights: .f32, on: profile), otherwise: LayerProgram.noneFits(profile)
    ) { ($0, try LayerKernels(executor, $0)) }
    tiles = layers.tiles
    items = layers.items
    programs[.f32] = kernels
  }

  private func kernels(_ type: GGUFType) throws -> LayerKernels {
    if let kernels = programs[type] { return kernels }
    let kernels = try LayerKernels(executor, LayerProgram(weights: type, tiles: tiles, items: items))
    programs[type] = kernels
    return kernels
  }

  // MARK: Transfers

  func weights(_ matrix: WeightMatrix) throws -> Weights {
    let readable = try matrix.readable()
    guard readable.columns % 4 == 0 else {
      throw AttentionError.cannotRun(
        device: executor.device.identifier, reason: "rows of \(matrix.columns) weights are no multiple of 4")
    }
    let buffer = try readable.withBytes { try Buffer(executor.context, copying: $0) }
    return Weights(
      type: readable.type, rows: readable.rows, columns: readable.columns, rowByteCount: readable.rowByteCount,
      buffer: buffer)
  }

  func matrix(_ numbers: [Float], rows: Int, columns: Int) throws -> Matrix {
    let buffer = try numbers.withUnsafeBytes { try Buffer(executor.context, copying: $0, access: .readWrite) }
    return Matrix(rows: rows, columns: columns, buffer: buffer)
  }

  func floats(of matrix: Matrix) throws -> [Float] {
    try tensor(matrix, [matrix.rows, matrix.columns]).tensor().floats()
  }

  private func make(rows: Int, columns: Int) throws -> Matrix {
    let bytes = rows.multipliedReportingOverflow(by: columns * MemoryLayout<Float>.stride)
    guard !bytes.overflow else { throw AttentionError.outOfMemory(bytes: .max) }
    return Matrix(rows: rows, columns: columns, buffer: try executor.makeBuffer(byteCount: bytes.partialValue))
  }

  /// The same memory as a tensor on the device.
  private func tensor(_ matrix: Matrix, _ shape: [Int]) -> DeviceTensor {
    DeviceTensor(shape: shape, elementType: .float32, memory: .device(matrix.buffer, executor))
  }

  private func matrix(_ tensor: DeviceTensor, rows: Int, columns: Int) throws -> Matrix {
    guard case .device(let buffer, _) = tensor.memory else {
      throw AttentionError.cannotRun(device: executor.device.identifier, reason: "a result is not on it")
    }
    return Matrix(rows: rows, columns: columns, buffer: buffer)
  }

  func rows(_ numbers: [Int], of matrix: Matrix) throws -> Matrix {
    try take(
      numbers, from: matrix.buffer, type: .f32, width: matrix.columns,
      rowBytes: matrix.columns * MemoryLayout<Float>.stride)
  }

  func embed(_ ids: [Int], _ table: Weights) throws -> Matrix {
    try take(ids, from: table.buffer, type: table.type, width: table.columns, rowBytes: table.rowByteCount)
  }

  /// Rows of a table by number; zeros where it is below 0.
  private func take(_ ids: [Int], from table: Buffer, type: GGUFType, width: Int, rowBytes: Int) throws -> Matrix {
    let result = try make(rows: ids.count, columns: width)
    let numbers = try ids.map(Int32.init(clamping:)).withUnsafeBytes { try Buffer(executor.context, copying: $0) }
    try enqueue(try kernels(type).takeRows, groups: ids.count, items: items) { kernel in
      try kernel.setArguments(table, numbers, result.buffer)
      try kernel.setArguments(from: 3, Int32(width), Int32(rowBytes))
    }
    return result
  }

  // MARK: Layers

  func linear(_ x: Matrix, _ layers: [Linear<OpenCLBackend>]) throws -> [Matrix] {
    try layers.map { layer in
      let weights = layer.weights
      let result = try make(rows: x.rows, columns: weights.rows)
      let own = try kernels(weights.type)
      let isFew = x.rows <= Self.fewRows
      let numberGroups = weights.rows.tiles(of: own.numbers)
      let tileCount = x.rows.tiles(of: tiles.tileRows) * weights.rows.tiles(of: tiles.tileColumns)
      try enqueue(
        isFew ? own.linearNumber : own.linear, groups: isFew ? x.rows * numberGroups : tileCount,
        items: isFew ? items : tiles.groupItems
      ) { kernel in
        try kernel.setArguments(x.buffer, weights.buffer, layer.bias?.buffer ?? x.buffer, result.buffer)
        let sizes = [x.columns, weights.rows, weights.rowByteCount, layer.bias == nil ? 0 : 1].map(Int32.init)
        try kernel.setArguments(from: 4, (isFew ? [] : [Int32(x.rows)]) + sizes)
      }
      return result
    }
  }

  func add(_ x: Matrix, to y: Matrix) throws {
    try enqueue(try kernels(.f32).add, groups: y.rows * y.columns) { try $0.setArguments(x.buffer, y.buffer) }
  }

  func layerNorm(_ x: Matrix, adding residual: Matrix?, _ norm: LayerNorm<OpenCLBackend>) throws -> Matrix {
    let result = try make(rows: x.rows, columns: x.columns)
    try enqueue(try kernels(.f32).layerNorm, groups: x.rows, items: items) { kernel in
      try kernel.setArguments(
        x.buffer, residual?.buffer ?? x.buffer, norm.scale.buffer, norm.shift.buffer, result.buffer)
      try kernel.setArguments(from: 5, Int32(x.columns), residual == nil ? 0 : 1)
      try kernel.setArgument(7, norm.epsilon)
    }
    return result
  }

  func rmsNorm(_ x: Matrix, scale: Matrix, epsilon: Float) throws -> Matrix {
    let result = try make(rows: x.rows, columns: x.columns)
    try enqueue(try kernels(.f32).rmsNorm, groups: x.rows, items: items) { kernel in
      try kernel.setArguments(x.buffer, scale.buffer, result.buffer)
      try kernel.setArguments(from: 3, Int32(x.columns))
      try kernel.setArgument(4, epsilon)
    }
    return result
  }

  func activate(_ x: Matrix, _ activation: Activation) throws {
    let own = try kernels(.f32)
    try enqueue(activation == .gelu ? own.gelu : own.geluTanh, groups: x.rows * x.columns) {
      try $0.setArguments(x.buffer)
    }
  }

  func gate(_ gate: Matrix, _ up: Matrix) throws {
    try enqueue(try kernels(.f32).siluGate, groups: gate.rows * gate.columns) {
      try $0.setArguments(gate.buffer, up.buffer)
    }
  }

  /// Starts a kernel; without `items` the driver chooses the work-groups.
  private func enqueue(
    _ kernel: Kernel, groups: Int, items: Int? = nil, _ arguments: (Kernel) throws -> Void
  ) throws {
    guard groups > 0 else { return }
    try executor.withTurn {
      try arguments(kernel)
      try executor.queue.enqueueKernel(kernel, global: [groups * (items ?? 1)], local: items.map { [$0] } ?? [])
    }
  }

  // MARK: Attention

  private func timingAttention<Result>(_ body: () throws -> Result) throws -> Result {
    try clock.time(waiting: { try executor.withTurn { try executor.queue.finish() } }, body)
  }

  /// The sequences side by side, padded to the longest, go through a cache that is empty before; what is asked for beside
  /// the output is for the host, and computed there from operands that are brought to it.
  func attention(
    query: Matrix, key: Matrix, value: Matrix, shape: AttentionShape, returning: AttentionOutputs
  ) throws -> (output: Matrix, result: AttentionResult) {
    try timingAttention {
      guard returning.isEmpty || returning == .output else {
        let call = shape.call(
          query: try tensor(query, [query.rows, shape.heads, shape.headDimension]).tensor(),
          key: try tensor(key, [key.rows, shape.keyValueHeads, shape.headDimension]).tensor(),
          value: try tensor(value, [value.rows, shape.keyValueHeads, shape.headDimension]).tensor(),
          returning: returning)
        let result = try engine.attention(call)
        return (try matrix(result.output?.floats() ?? [], rows: query.rows, columns: query.columns), result)
      }
      let longest = shape.lengths.max() ?? 0
      let batch = shape.lengths.count
      let isPadded = shape.lengths.contains { $0 != longest }
      var start = 0
      var places: [Int] = []
      var origins: [Int] = []
      for (b, length) in shape.lengths.enumerated() {
        places += (0..<longest).map { $0 < length ? start + $0 : -1 }
        origins += (0..<length).map { b * longest + $0 }
        start += length
      }
      func spread(_ x: Matrix, _ heads: Int) throws -> DeviceTensor {
        tensor(isPadded ? try rows(places, of: x) : x, [batch, longest, heads, shape.headDimension])
      }
      let cache = try paddedCache(batch, shape)
      try cache.truncate(to: 0)
      try cache.append(
        key: try spread(key, shape.keyValueHeads), value: try spread(value, shape.keyValueHeads), layout: .bshd,
        lengths: shape.lengths)
      let found = try engine.scaledDotProductAttention(
        query: try spread(query, shape.heads), cache: cache, layout: .bshd,
        mask: shape.isCausal ? .causal(.upperLeft) : .none)
      let output = try matrix(found, rows: batch * longest, columns: query.columns)
      return (isPadded ? try rows(origins, of: output) : output, AttentionResult())
    }
  }

  private func paddedCache(_ batch: Int, _ shape: AttentionShape) throws -> KVCache {
    let shapeOfCache = [batch, shape.keyValueHeads, shape.headDimension]
    if let padded, padded.shape == shapeOfCache { return padded.cache }
    // One at a time: batches of other sizes come and go.
    padded = nil
    let cache = try engine.makeKVCache(batch: batch, heads: shape.keyValueHeads, headDimension: shape.headDimension)
    padded = (shapeOfCache, cache)
    return cache
  }

  func rotate(_ x: Matrix, heads: Int, by rotary: RotaryEmbedding) throws {
    var numbers = try floats(of: x)
    numbers.withUnsafeMutableBufferPointer { rotary.rotate($0, rows: x.rows, heads: heads) }
    try executor.withTurn {
      _ = try numbers.withUnsafeBytes { try executor.queue.enqueueWrite($0, to: x.buffer) }
    }
  }

  func attention(
    query: Matrix, key: Matrix, value: Matrix, cache: KVCache, description: CacheDescription
  ) throws -> Matrix {
    try timingAttention {
      let rowShape = [1, key.rows, description.keyValueHeads, description.headDimension]
      try cache.append(key: tensor(key, rowShape), value: tensor(value, rowShape), layout: .bshd)
      let output = try engine.scaledDotProductAttention(
        query: tensor(query, [1, query.rows, description.heads, description.headDimension]), cache: cache, layout: .bshd
      )
      return try matrix(output, rows: query.rows, columns: query.columns)
    }
  }
}

extension AttentionEngine {
  /// What computes where the engine has one OpenCL device and nothing else to divide the work with; nil elsewhere.
  var soleExecutor: OpenCLExecutor? {
    get throws {
      guard activeDevices.count == 1, case .device(let executor) = try roster.home() else { return nil }
      return executor
    }
  }
}

/// The kernels of layers, built for one device and type of weights.
private final class LayerKernels {
  /// Numbers of a product that a work-group makes one after the other.
  let numbers: Int
  let linear, linearNumber, takeRows, layerNorm, rmsNorm, add, gelu, geluTanh, siluGate: Kernel

  /// - Throws: ``TilesRejected`` where the kernels came out too large for their work-groups.
  init(_ executor: OpenCLExecutor, _ layers: LayerProgram) throws {
    numbers = layers.numbers
    let program = try executor.rejecting(.staged(layers.tiles)) { try layers.program.build(executor.context) }
    linear = try Kernel(program, "linear")
    linearNumber = try Kernel(program, "linear_number")
    takeRows = try Kernel(program, "take_rows")
    layerNorm = try Kernel(program, "layer_norm")
    rmsNorm = try Kernel(program, "rms_norm")
    add = try Kernel(program, "add")
    gelu = try Kernel(program, "gelu")
    geluTanh = try Kernel(program, "gelu_tanh")
    siluGate = try Kernel(program, "silu_gate")
    guard try linear.runs(groupsOf: layers.tiles.groupItems), try linearNumber.runs(groupsOf: layers.items) else {
      throw TilesRejected(device: executor.device.identifier, tiles: .staged(layers.tiles))
    }
  }
}

extension Kernel {
  fileprivate func setArguments(_ buffers: Buffer...) throws {
    for (index, buffer) in buffers.enumerated() { try setArgument(index, buffer) }
  }

  fileprivate func setArguments(from first: Int, _ values: [Int32]) throws {
    for (index, value) in values.enumerated() { try setArgument(first + index, value) }
  }

  fileprivate func setArguments(from first: Int, _ values: Int32...) throws {
    try setArguments(from: first, values)
  }
}
