import OpenCL

/// The staged kernels at work on one call. Its slices use the same score matrix, one after the other.
final class StagedCall: CallKernels {
  let scratch: [Buffer]
  fileprivate let kernels: StagedKernels
  fileprivate let tiles: StagedTiles
  fileprivate let mask: MaskRows

  fileprivate var scores: Buffer { scratch[0] }
  fileprivate var parts: Buffer { scratch[1] }

  /// The transfer that must be over before the scores are overwritten.
  fileprivate var lastRead: Event?

  init(
    _ kernels: StagedKernels, _ tiles: StagedTiles, _ problem: AttentionProblem, _ plan: DevicePlan, pool: BufferPool
  )
    throws
  {
    self.kernels = kernels
    self.tiles = tiles
    func largest(_ bytes: (DevicePlan.Block) -> Int) -> Int { plan.blocks.map(bytes).max() ?? 0 }
    scratch = try pool.take(
      largest { $0.heads.count * $0.sliceRows * $0.scoreStride * 4 },
      largest { $0.heads.count * $0.sliceRows * $0.chunks(tiles) * 8 },
      MaskRows.byteCount(problem, plan))
    mask = MaskRows(scratch[2])
  }

  func makePass(_ contents: BlockContents) throws -> any BlockPass { StagedPass(contents: contents, shared: self) }
}

/// The staged kernels of one block, for each slice of its queries:
/// scores → softmax in two steps → weighted values.
private struct StagedPass: BlockPass {
  let contents: BlockContents
  let shared: StagedCall

  private var problem: AttentionProblem { contents.problem }
  private var tiles: StagedTiles { shared.tiles }
  private var block: DevicePlan.Block { contents.block }
  private var records: [HeadRecord] { contents.records }
  private var kernels: StagedKernels { shared.kernels }
  private var operands: BlockBuffers { contents.buffers }
  private var queues: DeviceQueues { contents.queues }

  func enqueue(after uploaded: Event?, _ results: ResultBuffers) throws -> Event? {
    var last: Event?
    for slice in block.slices { last = try enqueue(slice, after: uploaded, results) }
    return last
  }

  private func enqueue(_ slice: Range<Int>, after uploaded: Event?, _ results: ResultBuffers) throws -> Event {
    _ = try shared.mask.enqueueWrite(slice, of: contents)
    let scored = try enqueueScores(slice, after: [uploaded, shared.lastRead].compactMap { $0 })
    // The softmax overwrites the scores: where they are wanted, they have to be out first.
    let scoresRead = try results.scores.map { try enqueueRead($0, slice, waitingFor: scored) }
    let normalized = try enqueueSoftmax(slice, after: [scoresRead].compactMap { $0 })
    shared.lastRead = try results.weights.map { try enqueueRead($0, slice, waitingFor: normalized) }
    let last = problem.outputs.contains(.output) ? try enqueueValues(slice) : normalized
    return try contents.insight?.enqueue(slice, operands, mask: shared.mask.buffer) ?? last
  }

  private func enqueueScores(_ slice: Range<Int>, after events: [Event]) throws -> Event {
    var arguments = ArgumentList(kernels.scores)
    try arguments.add(
      operands.heads, operands.query, operands.key, shared.mask.buffer, operands.blockMask, shared.scores)
    try arguments.add(Int32(problem.headDimension))
    try arguments.add(Int32(slice.lowerBound), Int32(rowTiles(slice)), Int32(block.scoreStride))
    try arguments.add(problem.scale, problem.softcap ?? 0)
    try arguments.add(problem.mask)
    try arguments.add(problem.blockMask)
    return try queues.compute.enqueue(
      kernels.scores, groups: [records.count, rowTiles(slice), block.scoreStride / tiles.tileColumns],
      items: tiles.groupItems, waitingFor: events)
  }

  private func enqueueSoftmax(_ slice: Range<Int>, after events: [Event]) throws -> Event {
    let chunks = block.chunks(tiles)
    let sizes = [Int32(slice.lowerBound), Int32(slice.count), Int32(block.scoreStride), Int32(chunks)]
    let groups = [records.count, slice.count, chunks]

    var arguments = ArgumentList(kernels.softmaxParts)
    try arguments.add(operands.heads, shared.scores, shared.parts)
    try arguments.add(sizes)
    try queues.compute.enqueue(kernels.softmaxParts, groups: groups, items: tiles.softmaxItems, waitingFor: events)

    arguments = ArgumentList(kernels.softmaxNormalize)
    try arguments.add(
      operands.heads, shared.scores, shared.parts, shared.mask.buffer, operands.blockMask, operands.logSumExp)
    try arguments.add(sizes)
    try arguments.add(problem.usesSinks)
    try arguments.add(problem.mask)
    try arguments.add(problem.blockMask)
    return try queues.compute.enqueue(kernels.softmaxNormalize, groups: groups, items: tiles.softmaxItems)
  }

  private func enqueueValues(_ slice: Range<Int>) throws -> Event {
    var arguments = ArgumentList(kernels.weightedValues)
    try arguments.add(
      operands.heads, shared.scores, operands.value, shared.mask.buffer, operands.blockMask, operands.output)
    try arguments.add(Int32(problem.valueDimension))
    try arguments.add(Int32(slice.lowerBound), Int32(rowTiles(slice)), Int32(block.scoreStride))
    try arguments.add(problem.mask)
    try arguments.add(problem.blockMask)
    let columnTiles = problem.valueDimension.tiles(of: tiles.tileColumns)
    return try queues.compute.enqueue(
      kernels.weightedValues, groups: [records.count, rowTiles(slice), columnTiles], items: tiles.groupItems)
  }

  private func rowTiles(_ slice: Range<Int>) -> Int { slice.count.tiles(of: tiles.tileRows) }

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
        rect, of: shared.scores, into: tensor.mutableBytes(from: 0), blocking: false, waitingFor: [event])
    }
    let read = try queues.download.enqueueMarker(waitingFor: [event])
    try queues.compute.flush()
    try queues.download.flush()
    return read
  }
}

extension DevicePlan.Block {
  /// Parts that the softmax cuts a row into.
  func chunks(_ tiles: StagedTiles) -> Int { scoreStride.tiles(of: tiles.chunk) }
}
