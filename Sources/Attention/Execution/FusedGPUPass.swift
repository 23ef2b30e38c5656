import OpenCL

/// The fused kernel of a GPU-class device at work on one call.
final class FusedGPUCall: CallKernels {
  let scratch: [Buffer]
  fileprivate let kernels: FusedGPUKernels
  fileprivate let mask: MaskRows
  fileprivate var maskClasses: Buffer { scratch[0] }

  init(_ kernels: FusedGPUKernels, _ problem: AttentionProblem, _ plan: DevicePlan, pool: BufferPool) throws {
    self.kernels = kernels
    scratch = try pool.take(MaskRows.classCount(problem, plan), MaskRows.byteCount(problem, plan))
    mask = MaskRows(scratch[1])
  }

  func makePass(_ contents: BlockContents) throws -> any BlockPass { FusedGPUPass(contents: contents, shared: self) }
}

/// The fused kernel of one block: for each slice, classify its mask → attention.
private struct FusedGPUPass: BlockPass {
  let contents: BlockContents
  let shared: FusedGPUCall

  func enqueue(after uploaded: Event?, _ results: ResultBuffers) throws -> Event? {
    var last: Event?
    for slice in contents.block.slices { last = try enqueueSlice(slice, after: uploaded) }
    return last
  }

  private func enqueueSlice(_ slice: Range<Int>, after uploaded: Event?) throws -> Event {
    let (problem, kernels, operands) = (contents.problem, shared.kernels, contents.buffers)
    let tiles = kernels.tiles
    if try shared.mask.enqueueWrite(slice, of: contents) {
      try contents.enqueueMaskClasses(
        kernels.classifyMask, items: kernels.classifyItems, slice: slice, mask: shared.mask.buffer,
        classes: shared.maskClasses, tiles: .fusedGPU(tiles))
    }
    let rowTiles = slice.count.tiles(of: tiles.tileRows)
    var arguments = ArgumentList(kernels.fused)
    try arguments.add(operands.heads, operands.query, operands.key, operands.value)
    try arguments.add(shared.mask.buffer, shared.maskClasses, operands.blockMask, operands.output, operands.logSumExp)
    try arguments.add(problem, firstRow: slice.lowerBound, rowTiles: rowTiles, heads: contents.records.count, tiles)
    let attended = try contents.queues.compute.enqueue(
      kernels.fused, groups: [contents.records.count, rowTiles], items: tiles.groupItems,
      waitingFor: [uploaded].compactMap { $0 })
    return try contents.insight?.enqueue(slice, contents.buffers, mask: shared.mask.buffer) ?? attended
  }
}

extension ArgumentList {
  /// What the fused kernels for GPUs are given after their buffers.
  mutating func add(
    _ problem: AttentionProblem, firstRow: Int, rowTiles: Int, heads: Int, _ tiles: FusedGPUTiles
  ) throws {
    try add(Int32(firstRow), Int32(rowTiles), Int32(heads))
    try add(problem.usesSinks)
    try add(problem.scale, problem.softcap ?? 0)
    try add(problem.mask)
    try add(Int32(problem.keyLength.tiles(of: tiles.tileKeys)))
    try add(problem.blockMask)
  }
}
