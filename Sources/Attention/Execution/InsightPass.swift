import OpenCL

/// The most attended keys and the attention received of one block of heads, from its operands and log-sum-exp on the
/// device. Whichever kernels made the log-sum-exp, and whether they kept scores, makes no difference here.
///
/// On the device the results are dense over the block's longest head, and go to their places when they are read:
///
///     keys, weights   [head][query][k]
///     sums            [head][key]
///
/// Before both come the terms by which scores become weights, `[head][row of the slice]`.
final class InsightPass {
  private let problem: AttentionProblem
  private let heads: Range<Int>
  private let extent: InsightExtent
  private let kernels: InsightKernels
  private let queues: DeviceQueues
  private let pool: BufferPool
  private var buffers: Buffers?

  private struct Buffers {
    let all: [Buffer]
    var keys: Buffer { all[0] }
    var weights: Buffer { all[1] }
    var sums: Buffer { all[2] }
    var terms: Buffer { all[3] }
  }

  /// Nil where there are no kernels: where neither result is asked for.
  init?(
    _ problem: AttentionProblem, heads: Range<Int>, kernels: InsightKernels?, queues: DeviceQueues, pool: BufferPool
  ) {
    guard let kernels else { return nil }
    self.problem = problem
    self.heads = heads
    extent = InsightExtent(problem, heads: heads, tiles: kernels.tiles)
    self.kernels = kernels
    self.queues = queues
    self.pool = pool
  }

  private var listBuffers: (keys: Buffer, weights: Buffer)? {
    problem.outputs.contains(.topKeys) ? buffers.map { ($0.keys, $0.weights) } : nil
  }
  private var receivedBuffer: Buffer? {
    problem.outputs.contains(.received) ? buffers?.sums : nil
  }

  /// Takes the buffers of the results; ``release()`` gives them back.
  func allocate() throws {
    buffers = Buffers(
      all: try pool.take(extent.listBytes, extent.listBytes, extent.receivedBytes, extent.termBytes))
  }

  /// Starts the kernels for a slice of the block's queries, on the compute queue after what made their log-sum-exp. Slices
  /// go in order and begin at multiples of the tiles' rows; `mask` holds the slice's rows. The event is that of the last
  /// kernel.
  func enqueue(_ queries: Range<Int>, _ operands: BlockBuffers, mask: Buffer) throws -> Event? {
    guard let terms = buffers?.terms else { return nil }
    let tiles = kernels.tiles
    let rowTiles = queries.count.tiles(of: tiles.tileRows)

    var arguments = try start(kernels.rowTerms, operands, mask, terms)
    try arguments.add(operands.logSumExp)
    try arguments.add(Int32(rowTiles), problem.usesSinks)
    var last = try enqueue(kernels.rowTerms, &arguments, queries, groups: extent.heads * rowTiles)
    if let lists = listBuffers {
      var arguments = try start(kernels.topKeys, operands, mask, terms)
      try arguments.add(lists.keys, lists.weights)
      try arguments.add(Int32(problem.topKeyCount), Int32(extent.queryLength), Int32(rowTiles))
      last = try enqueue(kernels.topKeys, &arguments, queries, groups: extent.heads * rowTiles) ?? last
    }
    if let sums = receivedBuffer {
      let columnTiles = extent.keyLength.tiles(of: tiles.tileColumns)
      var arguments = try start(kernels.received, operands, mask, terms)
      try arguments.add(sums)
      try arguments.add(Int32(extent.keyLength), Int32(columnTiles))
      last = try enqueue(kernels.received, &arguments, queries, groups: extent.heads * columnTiles) ?? last
    }
    return last
  }

  private func start(
    _ kernel: Kernel, _ operands: BlockBuffers, _ mask: Buffer, _ terms: Buffer
  ) throws -> ArgumentList {
    var arguments = ArgumentList(kernel)
    try arguments.add(operands.heads, operands.query, operands.key, mask, operands.blockMask, terms)
    return arguments
  }

  private func enqueue(
    _ kernel: Kernel, _ arguments: inout ArgumentList, _ queries: Range<Int>, groups: Int
  ) throws -> Event? {
    guard groups > 0 else { return nil }
    try arguments.add(Int32(problem.headDimension))
    try arguments.add(Int32(queries.lowerBound), Int32(queries.upperBound))
    try arguments.add(problem.scale, problem.softcap ?? 0)
    try arguments.add(problem.mask)
    try arguments.add(problem.blockMask)
    let items = kernels.tiles.groupItems
    return try queues.compute.enqueue(kernel, groups: [groups], items: items)
  }

  /// Starts bringing the results to their places in the tensors, without the padding of shorter heads.
  func enqueueDownload(_ results: ResultBuffers, waitingFor events: [Event]) throws {
    // Without queries no kernel has run, and the tensors say so already.
    guard extent.queryLength > 0 else { return }
    func read(_ buffer: Buffer, into tensor: Tensor?, length: Int, of full: Int) throws {
      guard let tensor else { return }
      let rect = TransferRect(
        widthBytes: length * 4, rows: heads.count, hostOffset: heads.lowerBound * full * 4, hostRowPitch: full * 4)
      guard !rect.isEmpty else { return }
      try queues.download.enqueueRead(
        rect, of: buffer, into: tensor.mutableBytes(from: 0), blocking: false, waitingFor: events)
    }
    if let lists = listBuffers {
      let (length, full) = (extent.queryLength * problem.topKeyCount, problem.queryLength * problem.topKeyCount)
      try read(lists.keys, into: results.topKeys, length: length, of: full)
      try read(lists.weights, into: results.topWeights, length: length, of: full)
    }
    if let sums = receivedBuffer {
      try read(sums, into: results.received, length: extent.keyLength, of: problem.keyLength)
    }
  }

  /// Gives the buffers back; nothing may be under way.
  func release() {
    if let buffers { pool.put(buffers.all) }
    buffers = nil
  }
}
