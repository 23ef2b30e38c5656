import OpenCL
import Synchronization

/// The blocks of a cache on an OpenCL device, in parts that are never moved: each new one as large as all before it,
/// at least, so that few parts make any size.
final class DeviceBlocks: KVBlockStore {
  let shape: KVBlockShape
  let executor: OpenCLExecutor
  private let profile: DeviceProfile
  private let state = Mutex(State())

  private struct Part {
    let first: Int
    let count: Int
    let key: Buffer
    /// The keys' own where those are the values too.
    let value: Buffer
  }

  private struct State {
    var parts: [Part] = []
    var bytes = 0
  }

  /// Bytes of the first part: small caches stay small.
  private static let firstBytes = 1 << 20

  init(_ shape: KVBlockShape, _ executor: OpenCLExecutor, _ profile: DeviceProfile) {
    self.shape = shape
    self.executor = executor
    self.profile = profile
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
      state.parts.append(Part(first: blocks, count: count, key: key, value: value))
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
  private var parts: [Part] { state.withLock { $0.parts } }

  private static func index(of block: Int, in parts: [Part]) -> Int {
    parts.lastIndex { $0.first <= block } ?? 0
  }

  /// The row of a block's head 0 in its part.
  private func row(of block: Int, in part: Part) -> Int { (block - part.first) * shape.heads * shape.blockLength }

  // MARK: Rows

  func append(
    _ tokens: [KVToken], key: KVRows, value: KVRows?, headStrides: (key: Int, value: Int), angles: RotaryAngles?
  ) throws {
    guard !tokens.isEmpty else { return }
    let keys = try executor.operand(key)
    let values = try value.map(executor.operand)
    let parts = parts
    var records = parts.map { _ in [TokenRecord]() }
    for (n, token) in tokens.enumerated() {
      let index = Self.index(of: token.block, in: parts)
      records[index].append(
        TokenRecord(
          key: Int64(token.key), value: Int64(token.value),
          row: Int64(row(of: token.block, in: parts[index]) + token.place), rotary: Int32(n)))
    }
    let rotary = try angles.map { try executor.buffer(copying: $0.values) }
    try executor.withTurn {
      let kernel = try executor.cacheKernels(
        CacheKernels.Key(
          elementType: key.elementType, storage: shape.key.storage.rows, keyWidth: shape.key.width,
          valueWidth: shape.value?.width ?? shape.key.width, rotaryPairs: angles?.embedding.pairs ?? 0)
      ).append
      // Keys alone, where values are keys or stay as they are.
      let valueBlocks = value == nil ? 0 : ((shape.value?.width ?? 0) + 31) / 32
      for (part, own) in zip(parts, records) where !own.isEmpty {
        let table = try executor.buffer(copying: own)
        var arguments = ArgumentList(kernel)
        try arguments.add(table, keys, values ?? keys, rotary ?? keys, part.key, part.value)
        try arguments.add(Int32(shape.heads), Int32(shape.blockLength), Int32(valueBlocks))
        try arguments.add(Int64(headStrides.key), Int64(headStrides.value))
        try arguments.add(
          Int32(angles?.embedding.pairs ?? 0), Int32(angles?.embedding.style == .interleaved ? 1 : 0))
        try executor.queue.enqueueKernel(
          kernel, global: [own.count * shape.heads * ((shape.key.width + 31) / 32 + valueBlocks)])
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
    let operand = try executor.operand(query.query)
    let output =
      try query.recording.map { try executor.operand(.device($0.output)) }
      ?? executor.makeBuffer(
        byteCount: try Tensor.byteCount(shape: problem.outputShape, elementType: problem.elementType))
    let logSumExp =
      try query.recording.map { try executor.operand(.device($0.logSumExp)) }
      ?? executor.makeBuffer(byteCount: try Tensor.byteCount(shape: problem.logSumExpShape, elementType: .float32))
    if problem.queryLength > 0, problem.batch > 0 {
      try executor.withTurn { try enqueue(query, operand, output, logSumExp) }
    }
    let results = (
      DeviceTensor(shape: problem.outputShape, elementType: problem.elementType, memory: .device(output, executor)),
      DeviceTensor(shape: problem.logSumExpShape, elementType: .float32, memory: .device(logSumExp, executor))
    )
    guard query.onHost else { return .device(output: results.0, logSumExp: results.1) }
    return .host(output: try results.0.tensor(), logSumExp: try results.1.tensor())
  }

  private func enqueue(_ query: CacheQuery, _ operand: Buffer, _ output: Buffer, _ logSumExp: Buffer) throws {
    let problem = query.problem
    let kernels =
      try query.recording?.kernels
      ?? kernels(problem, rotaryPairs: query.angles?.embedding.pairs ?? 0, own: query.recording != nil)
    query.recording?.kernels = kernels
    let parts = parts
    let table = query.blocks.map { block in
      let index = Self.index(of: block, in: parts)
      return Int64(index) << 48 | Int64(row(of: block, in: parts[index]))
    }
    let cuts = DecodeCuts(
      query.sequences, table: table, blockRows: shape.blockLength,
      DecodeSplit(keyValueHeads: problem.keyValueHeads, on: profile))
    var work = DecodeWork()
    for g in 0..<problem.keyValueHeads {
      work.add(
        cuts, head: g * problem.groupSize, heads: problem.groupSize, headsOfSequence: problem.queryHeads,
        queries: problem.queryLength, rowsOfPiece: kernels.rowsOfPiece)
    }
    let masks = try CacheMasks(query, executor)
    let heads = records(query, masks)
    let tables = DecodeTables(heads: heads.count, table: table.count, work)
    let bytes = try TensorStorage(byteCount: tables.byteCount)
    tables.write(heads, table, work, to: bytes.bytes)
    let records = try Buffer(executor.context, copying: UnsafeRawBufferPointer(bytes.bytes))
    let scratch = try executor.decodeScratch(
      partial: work.partialRows * problem.valueDimension * 4, ends: work.partialRows * 8)
    let rotary = try query.angles.map { try executor.buffer(copying: $0.values) }
    // A cache that is empty has no memory, and the kernels read none.
    let keys = parts.isEmpty ? [operand] : parts.map(\.key)
    let values = parts.isEmpty ? [operand] : parts.map(\.value)
    let shape = DecodeShape(
      queryHeads: problem.queryHeads, group: problem.groupSize, queries: 0..<problem.queryLength,
      blockRows: shape.blockLength, rowStep: 1, queryStride: problem.operands.query.rowStride,
      outputStride: problem.operands.output.rowStride, usesSinks: problem.usesSinks,
      rotaryPairs: query.angles?.embedding.pairs ?? 0, interleaved: query.angles?.embedding.style == .interleaved,
      scale: problem.scale, softcap: problem.softcap, mask: problem.mask, blockMask: problem.blockMask)
    let arguments = DecodeRecording.Arguments(
      shape: shape, tables: tables, mostRows: work.mostRows, parts: parts.count,
      scratch: [ObjectIdentifier(scratch.partial), ObjectIdentifier(scratch.ends)])
    if let recording = query.recording, recording.arguments == arguments {
      try kernels.replace(tables: records, tables, rotary: rotary)
    } else {
      try kernels.setArguments(
        shape,
        DecodeBuffers(
          keys: keys, values: values, query: operand, output: output, logSumExp: logSumExp, rotary: rotary ?? operand,
          mask: masks.mask ?? operand, blockMask: masks.blocks ?? operand, partial: scratch.partial,
          ends: scratch.ends),
        tables: records, tables, mostRows: work.mostRows)
      query.recording?.arguments = arguments
    }
    _ = try kernels.enqueue(executor.queue, shape, tables)
    try executor.queue.flush()
  }

  /// The kernels of the best tiles that the device takes.
  ///
  /// - Parameter own: Whether nobody else may have them, so that their arguments stay.
  private func kernels(_ problem: AttentionProblem, rotaryPairs: Int, own: Bool) throws -> DecodeKernels {
    for tiles in DecodeTiles.fitting(problem, profile) {
      do {
        let key = DecodeKernels.Key(
          problem, cache: shape.key.storage, storedValues: shape.value?.width ?? shape.key.width,
          rotaryPairs: rotaryPairs, tiles)
        return try own ? DecodeKernels(key, executor.context) : executor.decodeKernels(key)
      } catch is TilesRejected {
        continue
      }
    }
    throw AttentionError.cannotRun(device: profile.identifier, reason: "no tile of the decode kernels fits it")
  }

  private func records(_ query: CacheQuery, _ masks: CacheMasks) -> [HeadRecord] {
    let problem = query.problem
    return (0..<problem.headCount).map { head in
      let (b, h) = (head / problem.queryHeads, head % problem.queryHeads)
      let sequence = problem.sequences[b]
      var record = HeadRecord()
      record.query = Int64(problem.operands.query.offset(batch: b, head: h, row: 0))
      record.output = Int64(problem.operands.output.offset(batch: b, head: h, row: 0))
      record.key = Int64(h / problem.groupSize * shape.blockLength)
      record.value = record.key
      record.logSumExp = Int64(problem.logSumExpOffset(batch: b, head: h))
      record.mask = Int64(problem.mask?.offset(batch: b, head: h) ?? 0)
      record.blockMask = Int64(masks.blockOffset(batch: b, head: h))
      record.queryLength = Int32(sequence.queryLength)
      record.keyLength = Int32(sequence.keyLength)
      record.firstShift = Int32(sequence.firstShift)
      record.endShift = Int32(sequence.endShift)
      record.offset = Int32(sequence.offset)
      record.slope = query.alibiSlopes?[h] ?? 0
      record.sink = query.sinks?[h] ?? 0
      record.rotary = Int32(b * problem.queryLength)
      return record
    }
  }
}

/// One token as Kernels/append.cl sees it: the mirror of `Token`.
private struct TokenRecord: BitwiseCopyable {
  var key: Int64
  var value: Int64
  var row: Int64
  var rotary: Int32
  var padding: Int32 = 0
}

/// The masks of a call on the device.
private struct CacheMasks {
  private(set) var mask: Buffer?
  private(set) var blocks: Buffer?
  private var offsets: [Int] = []
  private let heads: Int

  init(_ query: CacheQuery, _ executor: OpenCLExecutor) throws {
    let problem = query.problem
    heads = problem.queryHeads
    if let tensor = query.mask.tensor {
      // Whole vectors of keys are read, past the last element too.
      let storage = try TensorStorage(byteCount: tensor.byteCount + MaskRows.slackBytes)
      tensor.withUnsafeBytes { storage.bytes.copyMemory(from: $0) }
      mask = try Buffer(executor.context, copying: UnsafeRawBufferPointer(storage.bytes))
    }
    if var planes = BlockMaskPlanes(query.mask.blocks, problem.blockMask) {
      offsets = (0..<problem.headCount).map { planes.offset(batch: $0 / heads, head: $0 % heads) }
      blocks = try planes.byteCount > 0 ? executor.buffer(copying: planes.elements()) : nil
    }
  }

  func blockOffset(batch b: Int, head h: Int) -> Int { offsets.isEmpty ? 0 : offsets[b * heads + h] }
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
