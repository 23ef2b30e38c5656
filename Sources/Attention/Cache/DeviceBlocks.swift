import OpenCL
import Synchronization

/// The blocks of a cache on an OpenCL device, in parts that are never moved: each new one as large as all before it,
/// at least, so that few parts make any size.
final class DeviceBlocks: KVBlockStore {
  let shape: KVBlockShape
  let executor: OpenCLExecutor
  let profile: DeviceProfile
  let engine: AttentionEngine
  private let state = Mutex(State())

  struct Part {
    let first: Int
    let count: Int
    let key: Buffer
    /// The keys' own where those are the values too.
    let value: Buffer
  }

  private struct State {
    var parts: [Part] = []
    /// Of each block, its part in the upper 16 bits and its row there.
    var entries: [Int64] = []
    var bytes = 0
  }

  /// Bytes of the first part: small caches stay small.
  private static let firstBytes = 1 << 20

  init(_ shape: KVBlockShape, _ executor: OpenCLExecutor, _ engine: AttentionEngine) throws {
    self.shape = shape
    self.executor = executor
    self.engine = engine
    profile = try engine.roster.profile(of: executor)
  }

  var allocatedBytes: Int { state.withLock { $0.bytes } }

  func grow(by wanted: Int, atMost most: Int) throws -> Int {
    try state.withLock { state in
      let blocks = state.parts.last.map { $0.first + $0.count } ?? 0
      guard state.parts.count < DecodeBuffers.sources else {
        throw AttentionError.cannotRun(
          device: profile.identifier, reason: "a cache of \(blocks) blocks has grown as often as it can")
      }
      let largest = max(shape.keyBytes, shape.valueBytes)
      let fitting = profile.maxAllocation / largest
      let count = min(most, max(wanted, blocks, Self.firstBytes / largest), fitting)
      guard count > 0 else {
        throw AttentionError.cannotRun(
          device: profile.identifier,
          reason: "a block of the cache takes \(largest) bytes, its largest allocation is \(profile.maxAllocation)")
      }
      let key = try buffer(count * shape.keyBytes)
      let value = shape.value == nil ? key : try buffer(count * shape.valueBytes)
      let part = Part(first: blocks, count: count, key: key, value: value)
      state.entries += (0..<count).map { Int64(state.parts.count) << 48 | Int64(row(of: blocks + $0, in: part)) }
      state.parts.append(part)
      state.bytes += count * (shape.keyBytes + shape.valueBytes)
      return count
    }
  }

  /// Memory of the device; of a CPU the host's, which can be in huge pages.
  private func buffer(_ byteCount: Int) throws -> Buffer {
    guard profile.hostUnifiedMemory, profile.deviceClass == .cpu else {
      return try executor.makeBuffer(byteCount: byteCount)
    }
    let storage = try TensorStorage(byteCount: byteCount, zeroed: false)
    let memory = UnsafeMutableRawBufferPointer(start: storage.base, count: byteCount)
    return try executor.rethrowing { try Buffer(executor.context, using: memory, owner: storage) }
  }

  /// The parts, in order.
  var parts: [Part] { state.withLock { $0.parts } }

  /// Where some blocks are, as the tables of key_value_rows.cl have it.
  func entries(of blocks: [Int]) -> [Int64] {
    state.withLock { state in blocks.map { state.entries[$0] } }
  }

  static func index(of block: Int, in parts: [Part]) -> Int {
    parts.lastIndex { $0.first <= block } ?? 0
  }

  /// The row of a block's head 0 in its part.
  func row(of block: Int, in part: Part) -> Int { (block - part.first) * shape.heads * shape.blockLength }

  // MARK: Rows

  func append(
    _ tokens: [KVToken], key: KVRows, value: KVRows?, headStrides: (key: Int, value: Int), angles: RotaryAngles?
  ) throws {
    guard !tokens.isEmpty else { return }
    let parts = parts
    var records = parts.map { _ in [TokenRecord]() }
    for (n, token) in tokens.enumerated() {
      let index = Self.index(of: token.block, in: parts)
      records[index].append(
        TokenRecord(
          key: Int64(token.key), value: Int64(token.value),
          row: Int64(row(of: token.block, in: parts[index]) + token.place), rotary: Int32(n)))
    }
    try executor.withTurn {
      let kernels = try executor.cacheKernels(
        CacheKernels.Key(
          elementType: key.elementType, storage: shape.key.storage.rows, keyWidth: shape.key.width,
          valueWidth: shape.value?.width ?? shape.key.width, rotaryPairs: angles?.embedding.pairs ?? 0))
      let rows = CacheKernels.Rows(
        key: try executor.upload(key), value: try value.map(executor.upload), heads: shape.heads,
        headStrides: headStrides, keyWidth: shape.key.width, valueWidth: shape.value?.width ?? 0,
        angles: try angles.map { try executor.upload($0.values) }, embedding: angles?.embedding)
      for (part, own) in zip(parts, records) where !own.isEmpty {
        try kernels.enqueueAppend(
          executor.queue, try executor.upload(own), count: own.count, rows, toKeys: part.key,
          values: part.value, blockRows: shape.blockLength)
      }
      try executor.queue.flush()
    }
  }

  func copy(block: Int, to target: Int) throws {
    let parts = parts
    let (from, to) = (parts[Self.index(of: block, in: parts)], parts[Self.index(of: target, in: parts)])
    try executor.withTurn {
      for (source, destination, bytes) in [
        (from.key, to.key, shape.keyBytes), (from.value, to.value, shape.valueBytes),
      ]
      where bytes > 0 {
        try executor.queue.enqueueCopy(
          from: source, at: (block - from.first) * bytes, to: destination, at: (target - to.first) * bytes,
          byteCount: bytes)
      }
    }
  }

  func read(block: Int) throws -> [UInt8] {
    let parts = parts
    let part = parts[Self.index(of: block, in: parts)]
    var bytes = [UInt8](repeating: 0, count: shape.keyBytes + shape.valueBytes)
    try executor.withTurn {
      try bytes.withUnsafeMutableBytes { bytes in
        try executor.queue.enqueueRead(
          part.key, at: (block - part.first) * shape.keyBytes,
          into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<shape.keyBytes]))
        guard shape.valueBytes > 0 else { return }
        try executor.queue.enqueueRead(
          part.value, at: (block - part.first) * shape.valueBytes,
          into: UnsafeMutableRawBufferPointer(rebasing: bytes[shape.keyBytes...]))
      }
    }
    return bytes
  }

  func write(block: Int, _ bytes: [UInt8]) throws {
    let parts = parts
    let part = parts[Self.index(of: block, in: parts)]
    try executor.withTurn {
      try bytes.withUnsafeBytes { bytes in
        try executor.queue.enqueueWrite(
          UnsafeRawBufferPointer(rebasing: bytes[..<shape.keyBytes]), to: part.key,
          at: (block - part.first) * shape.keyBytes)
        guard shape.valueBytes > 0 else { return }
        try executor.queue.enqueueWrite(
          UnsafeRawBufferPointer(rebasing: bytes[shape.keyBytes...]), to: part.value,
          at: (block - part.first) * shape.valueBytes)
      }
    }
  }

  // MARK: Attention

  func attend(_ query: CacheQuery) throws -> CacheResult {
    let problem = query.problem
    let output =
      try query.recording.map { try executor.operand(.device($0.output)) }
      ?? executor.makeBuffer(
        byteCount: try Tensor.byteCount(shape: problem.outputShape, elementType: problem.elementType))
    let logSumExp =
      try query.recording.map { try executor.operand(.device($0.logSumExp)) }
      ?? executor.makeBuffer(byteCount: try Tensor.byteCount(shape: problem.logSumExpShape, elementType: .float32))
    if problem.queryLength > 0, problem.batch > 0 {
      try attend(query, output, logSumExp)
    }
    let results = (
      DeviceTensor(shape: problem.outputShape, elementType: problem.elementType, memory: .device(output, executor)),
      DeviceTensor(shape: problem.logSumExpShape, elementType: .float32, memory: .device(logSumExp, executor))
    )
    guard query.onHost else { return .device(output: results.0, logSumExp: results.1) }
    return .host(output: try results.0.tensor(), logSumExp: try results.1.tensor())
  }

  private func attend(_ query: CacheQuery, _ output: Buffer, _ logSumExp: Buffer) throws {
    if engine.cacheKernel(query.problem) == .fused {
      do {
        return try attendGathered(query, try executor.operand(query.query), output, logSumExp)
      } catch AttentionError.cannotRun {
        // No tile fits.
      } catch AttentionError.openCL(let error) where error.isOutOfMemory {
        // There is no room for all keys of a head beside the cache: decode kernels need less.
      }
    }
    try executor.withTurn { try enqueueDecoding(query, output, logSumExp) }
  }
}

extension OpenCLExecutor {
  /// The rows on this device.
  func operand(_ rows: KVRows) throws -> Buffer {
    switch rows {
    case .host(let tensor): return try buffer(copying: tensor)
    case .device(let tensor):
      guard case .device(let buffer, let owner) = tensor.memory, owner === self else {
        throw AttentionError.invalid(
          argument: "device tensor", found: "one of another engine or device", expected: "one of \(device.identifier)")
      }
      return buffer
    }
  }
}
