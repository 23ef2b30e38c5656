import OpenCL

/// The fused kernels of a CPU-class device at work on one call.
final class FusedCPUCall: CallKernels {
  let scratch: [Buffer]
  let readsHeads = false
  private let kernels: FusedCPUKernels
  private let mask: MaskRows

  var packedKeys: Buffer { scratch[0] }
  var packedValues: Buffer { scratch[1] }
  /// For each tile of keys, whether its values, and its keys, can be multiplied as they are packed.
  var fit: Buffer { scratch[2] }
  var maskClasses: Buffer { scratch[3] }

  init(_ kernels: FusedCPUKernels, _ problem: AttentionProblem, _ plan: DevicePlan, pool: BufferPool) throws {
    self.kernels = kernels
    let tiles = kernels.tiles
    func largest(_ size: (Int) -> Int) -> Int {
      plan.blocks.map { block in problem.keyLengths(of: block.heads).reduce(0) { $0 + size($1) } }.max() ?? 0
    }
    scratch = try pool.take(
      largest { 4 * tiles.packedKeyWords(keys: $0, problem) },
      largest { 4 * tiles.packedValueWords(keys: $0, problem) },
      largest { tiles.keyTiles($0) },
      MaskRows.classCount(problem, plan),
      MaskRows.byteCount(problem, plan))
    mask = MaskRows(scratch[4])
  }

  func makePass(_ contents: BlockContents) throws -> any BlockPass {
    var heads = contents.records
    var keyValueHeads: [KeyValueHeadRecord] = []
    let problem = contents.problem
    for index in heads.indices {
      // Neighbours share a key/value head; those without keys have nothing to tell them apart, nor need to.
      let head = heads[index]
      if keyValueHeads.last.map({ $0.key != head.key || $0.keyLength != head.keyLength }) ?? true {
        var record = KeyValueHeadRecord(key: head.key, value: head.value, keyLength: head.keyLength)
        if let last = keyValueHeads.last {
          let keys = Int(last.keyLength)
          record.packedKey = last.packedKey + Int64(kernels.tiles.packedKeyWords(keys: keys, problem))
          record.packedValue = last.packedValue + Int64(kernels.tiles.packedValueWords(keys: keys, problem))
          record.tiles = last.tiles + Int64(kernels.tiles.keyTiles(keys))
        }
        keyValueHeads.append(record)
      }
      if let packed = keyValueHeads.last {
        heads[index].key = packed.packedKey
        heads[index].value = packed.packedValue
        heads[index].keyTiles = packed.tiles
        heads[index].score = Int64(keyValueHeads.count - 1)
      }
    }
    return try FusedCPUPass(contents, self, kernels, mask, heads: heads, keyValueHeads: keyValueHeads)
  }
}

/// The fused kernels of one block, for each part of its queries: pack keys and values → classify the mask → attention.
private struct FusedCPUPass: BlockPass {
  private let heads: Buffer
  private let keyValueHeads: Buffer

  private let contents: BlockContents
  private let scratch: FusedCPUCall
  private let kernels: FusedCPUKernels
  private let mask: MaskRows
  private let keyValueHeadCount: Int
  /// What is computed one after the other; a part without keys reads those that are packed already.
  private let parts: [CPUPart]

  init(
    _ contents: BlockContents, _ scratch: FusedCPUCall, _ kernels: FusedCPUKernels, _ mask: MaskRows,
    heads: [HeadRecord], keyValueHeads: [KeyValueHeadRecord]
  ) throws {
    self.contents = contents
    self.scratch = scratch
    self.kernels = kernels
    self.mask = mask
    keyValueHeadCount = keyValueHeads.count
    let slices = contents.block.slices
    // (What walks all of a head's keys again does so a slice at a time.)
    let own = contents.insight == nil && slices.count == 1
    parts =
      (own ? kernels.tiles.parts(contents.problem, heads: contents.block.heads) : nil)
      ?? slices.enumerated().map { index, queries in
        CPUPart(queries: queries, keys: 0..<(index == 0 ? Int(keyValueHeads.map(\.keyLength).max() ?? 0) : 0))
      }
    let context = contents.queues.upload.context
    self.heads = try heads.withUnsafeBytes { try Buffer(context, copying: $0) }
    self.keyValueHeads = try keyValueHeads.withUnsafeBytes { try Buffer(context, copying: $0) }
  }

  func enqueue(after uploaded: Event?, _ results: ResultBuffers) throws -> Event? {
    var last = uploaded
    for part in parts {
      last = try enqueuePacking(part.keys, after: last)
      last = try enqueueSlice(part.queries, firstKey: part.keys.lowerBound, after: last)
    }
    return last
  }

  /// Packs these keys of every head where packed keys begin.
  private func enqueuePacking(_ keys: Range<Int>, after event: Event?) throws -> Event? {
    let keyTiles = kernels.tiles.keyTiles(keys.count)
    guard keyValueHeadCount * keyTiles > 0 else { return event }
    var arguments = ArgumentList(kernels.pack)
    try arguments.add(keyValueHeads, contents.buffers.key, contents.buffers.value)
    try arguments.add(scratch.packedKeys, scratch.packedValues, scratch.fit)
    try arguments.add(Int32(contents.problem.headDimension), Int32(contents.problem.valueDimension))
    try arguments.add(Int32(keys.lowerBound), Int32(keyTiles))
    return try contents.queues.compute.enqueue(
      kernels.pack, groups: [keyValueHeadCount, keyTiles], items: 1, waitingFor: [event].compactMap { $0 })
  }

  /// - Parameter firstKey: The first of the packed keys.
  private func enqueueSlice(_ slice: Range<Int>, firstKey: Int, after event: Event?) throws -> Event {
    let (problem, tiles) = (contents.problem, kernels.tiles)
    if try mask.enqueueWrite(slice, of: contents) { try enqueueClasses(slice) }
    let rowTiles = slice.count.tiles(of: tiles.tileRows)
    var arguments = ArgumentList(kernels.fused)
    if tiles.amx == .none {
      try arguments.add(heads, contents.buffers.query)
    } else {
      try arguments.add(heads, keyValueHeads, contents.buffers.query, contents.buffers.key, contents.buffers.value)
    }
    try arguments.add(scratch.packedKeys, scratch.packedValues, scratch.fit)
    try arguments.add(mask.buffer, scratch.maskClasses, contents.buffers.blockMask)
    try arguments.add(contents.buffers.output, contents.buffers.logSumExp)
    try arguments.addLocal(byteCount: tiles.localBytes(problem))
    try arguments.add(Int32(problem.headDimension), Int32(problem.valueDimension))
    try arguments.add(Int32(slice.lowerBound), Int32(rowTiles), Int32(firstKey), problem.usesSinks)
    try arguments.add(problem.scale, problem.softcap ?? 0)
    try arguments.add(problem.mask)
    try arguments.add(Int32(tiles.keyTiles(problem.keyLength)))
    try arguments.add(problem.blockMask)
    let attended = try contents.queues.compute.enqueue(
      kernels.fused, groups: [contents.records.count, rowTiles], items: 1, waitingFor: [event].compactMap { $0 })
    return try contents.insight?.enqueue(slice, contents.buffers, mask: mask.buffer) ?? attended
  }

  /// Classifies the tiles of the mask's rows that were just brought over.
  private func enqueueClasses(_ slice: Range<Int>) throws {
    try contents.enqueueMaskClasses(
      kernels.classifyMask, items: 1, slice: slice, mask: mask.buffer, classes: scratch.maskClasses,
      tiles: .fusedCPU(kernels.tiles))
  }
}
