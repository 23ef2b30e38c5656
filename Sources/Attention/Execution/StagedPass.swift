import OpenCL

/// The kernels of one slice of a block's queries, put on the compute queue one after the other:
/// scores → softmax in two steps → weighted values.
struct StagedPass {
  let call: AttentionCall
  let problem: AttentionProblem
  let tiles: StagedTiles
  let block: StagedPlan.Block
  let records: [HeadRecord]
  /// Where each distinct plane of the mask begins in its tensor, in the order of the planes on the device.
  let maskPlanes: [Int]
  let kernels: StagedKernels
  let queues: DeviceQueues
  let buffers: StagedBlock.Buffers
  let scratch: SliceScratch
  let insight: InsightPass?

  /// Starts a slice; the event is that of its last kernel.
  func enqueue(_ slice: Range<Int>, after uploaded: Event?, _ results: ResultBuffers) throws -> Event {
    let mask = try enqueueMask(slice)
    let scored = try enqueueScores(slice, mask, after: [uploaded, scratch.lastRead].compactMap { $0 })
    // The softmax overwrites the scores: where they are wanted, they have to be out first.
    let scoresRead = try results.scores.map { try enqueueRead($0, slice, waitingFor: scored) }
    let normalized = try enqueueSoftmax(slice, mask, after: [scoresRead].compactMap { $0 })
    scratch.lastRead = try results.weights.map { try enqueueRead($0, slice, waitingFor: normalized) }
    let last = problem.outputs.contains(.output) ? try enqueueValues(slice, mask) : normalized
    return try insight?.enqueue(slice, buffers.insightOperands, mask) ?? last
  }

  private func enqueueScores(_ slice: Range<Int>, _ mask: MaskArguments, after events: [Event]) throws -> Event {
    var arguments = ArgumentList(kernels.scores)
    try arguments.add(buffers.heads, buffers.query, buffers.key, mask.buffer, scratch.scores)
    try arguments.add(Int32(problem.headDimension))
    try arguments.add(Int64(problem.headDimension), Int64(problem.headDimension))
    try arguments.add(Int32(slice.lowerBound), Int32(rowTiles(slice)), Int32(block.scoreStride))
    try arguments.add(problem.scale, problem.softcap ?? 0)
    try arguments.add(mask)
    return try enqueue(
      kernels.scores, groups: [records.count, rowTiles(slice), block.scoreStride / tiles.tileColumns],
      items: tiles.groupItems, waitingFor: events)
  }

  private func enqueueSoftmax(_ slice: Range<Int>, _ mask: MaskArguments, after events: [Event]) throws -> Event {
    let chunks = block.chunks(tiles)
    let sizes = [Int32(slice.lowerBound), Int32(slice.count), Int32(block.scoreStride), Int32(chunks)]
    let groups = [records.count, slice.count, chunks]

    var arguments = ArgumentList(kernels.softmaxParts)
    try arguments.add(buffers.heads, scratch.scores, scratch.parts)
    try arguments.add(sizes)
    try enqueue(kernels.softmaxParts, groups: groups, items: tiles.softmaxItems, waitingFor: events)

    arguments = ArgumentList(kernels.softmaxNormalize)
    try arguments.add(buffers.heads, scratch.scores, scratch.parts, mask.buffer, buffers.logSumExp)
    try arguments.add(sizes)
    try arguments.add(Int32(problem.usesSinks ? 1 : 0))
    try arguments.add(mask)
    return try enqueue(kernels.softmaxNormalize, groups: groups, items: tiles.softmaxItems)
  }

  private func enqueueValues(_ slice: Range<Int>, _ mask: MaskArguments) throws -> Event {
    var arguments = ArgumentList(kernels.weightedValues)
    try arguments.add(buffers.heads, scratch.scores, buffers.value, mask.buffer, buffers.output)
    try arguments.add(Int32(problem.valueDimension))
    try arguments.add(Int64(problem.valueDimension), Int64(problem.valueDimension))
    try arguments.add(Int32(slice.lowerBound), Int32(rowTiles(slice)), Int32(block.scoreStride))
    try arguments.add(mask)
    let columnTiles = roundedUp(problem.valueDimension, to: tiles.tileColumns) / tiles.tileColumns
    return try enqueue(
      kernels.weightedValues, groups: [records.count, rowTiles(slice), columnTiles], items: tiles.groupItems)
  }

  private func rowTiles(_ slice: Range<Int>) -> Int { roundedUp(slice.count, to: tiles.tileRows) / tiles.tileRows }

  /// All work-groups along one dimension: the others are limited to 65,535 on some devices.
  @discardableResult
  private func enqueue(
    _ kernel: Kernel, groups: [Int], items: Int, waitingFor events: [Event] = []
  ) throws -> Event {
    try queues.compute.enqueueKernel(
      kernel, global: [groups.reduce(items, *)], local: [items], waitingFor: events)
  }

  /// The mask's rows of a slice, brought over on the compute queue: its order keeps them from being overwritten early.
  private func enqueueMask(_ slice: Range<Int>) throws -> MaskArguments {
    guard let layout = problem.mask, let tensor = call.mask.tensor else {
      return MaskArguments(buffer: scratch.mask, kind: 0, queryStride: 0, keyStride: 0)
    }
    let size = layout.elementType.byteCount
    let planeBytes = layout.planeElements(rows: block.sliceRows, keys: problem.keyLength) * size
    let usedBytes = layout.planeElements(rows: slice.count, keys: problem.keyLength) * size
    for (plane, start) in maskPlanes.enumerated() {
      let first = (start + slice.lowerBound * layout.queryStride) * size
      let bytes = UnsafeRawBufferPointer(start: tensor.storage.base + first, count: usedBytes)
      try queues.compute.enqueueWrite(bytes, to: scratch.mask, at: plane * planeBytes, blocking: false)
    }
    return MaskArguments(
      buffer: scratch.mask, kind: layout.elementType.maskKind, queryStride: Int64(layout.queryStride),
      keyStride: Int64(layout.keyStride))
  }

  /// Brings a slice of the score matrix to the host, without the padding of its rows.
  private func enqueueRead(_ tensor: Tensor, _ slice: Range<Int>, waitingFor event: Event) throws -> Event {
    let size = MemoryLayout<Float>.size
    for (record, head) in zip(records, block.heads) {
      let rows = slice.clamped(to: 0..<Int(record.queryLength)).count
      let rect = TransferRect(
        widthBytes: Int(record.keyLength) * size, rows: rows,
        hostOffset: (head * problem.queryLength + slice.lowerBound) * problem.keyLength * size,
        hostRowPitch: problem.keyLength * size, bufferOffset: Int(record.score) * size,
        bufferRowPitch: block.scoreStride * size)
      guard !rect.isEmpty else { continue }
      try queues.download.enqueueRead(
        rect, of: scratch.scores, into: tensor.mutableBytes(from: 0), blocking: false, waitingFor: [event])
    }
    let read = try queues.download.enqueueMarker(waitingFor: [event])
    try queues.compute.flush()
    try queues.download.flush()
    return read
  }
}

/// What the slices of one call share, one after the other: the score matrix and what belongs to it.
final class SliceScratch {
  let all: [Buffer]
  var scores: Buffer { all[0] }
  var parts: Buffer { all[1] }
  var mask: Buffer { all[2] }

  /// The transfer that must be over before the scores are overwritten.
  var lastRead: Event?

  init(_ problem: AttentionProblem, _ plan: StagedPlan, pool: BufferPool) throws {
    func largest(_ bytes: (StagedPlan.Block) -> Int) -> Int { plan.blocks.map(bytes).max() ?? 0 }
    all = try pool.take(
      largest { $0.heads.count * $0.sliceRows * $0.scoreStride * 4 },
      largest { $0.heads.count * $0.sliceRows * $0.chunks(plan.tiles) * 8 },
      largest { block in
        guard let mask = problem.mask else { return 0 }
        let planes = Set(
          block.heads.map { mask.offset(batch: $0 / problem.queryHeads, head: $0 % problem.queryHeads) })
        return planes.count * mask.planeElements(rows: block.sliceRows, keys: problem.keyLength)
          * mask.elementType.byteCount
      })
  }
}

extension StagedPlan.Block {
  /// Parts that the softmax cuts a row into.
  func chunks(_ tiles: StagedTiles) -> Int { (scoreStride + tiles.chunk - 1) / tiles.chunk }
}

/// What the kernels are told of the mask.
struct MaskArguments {
  let buffer: Buffer
  let kind: Int32
  let queryStride: Int64
  let keyStride: Int64
}

/// Sets a kernel's arguments in order.
struct ArgumentList {
  private let kernel: Kernel
  private var count = 0

  init(_ kernel: Kernel) { self.kernel = kernel }

  mutating func add(_ buffers: Buffer...) throws {
    for buffer in buffers { try kernel.setArgument(next(), buffer) }
  }

  mutating func add(_ values: [Int32]) throws {
    for value in values { try kernel.setArgument(next(), value) }
  }

  mutating func add(_ values: Int32...) throws { try add(values) }

  mutating func add(_ values: Int64...) throws {
    for value in values { try kernel.setArgument(next(), value) }
  }

  mutating func add(_ values: Float...) throws {
    for value in values { try kernel.setArgument(next(), value) }
  }

  mutating func add(_ mask: MaskArguments) throws {
    try add(mask.kind)
    try add(mask.queryStride, mask.keyStride)
  }

  private mutating func next() -> Int {
    defer { count += 1 }
    return count
  }
}
