import OpenCL

extension DeviceBlocks {
  /// Attention of many queries: the keys and values that they see are brought side by side, and the fused kernels go over
  /// them once for each tile of queries, where decode kernels would for each few rows.
  ///
  /// ```
  /// blocks ──gather_rows──► keys, values ─┐
  /// query ───append_rows──► queries ──────┴─► fused kernels ──► rows ──append_rows──► output
  /// ```
  ///
  /// Rows are in the queries' type where the cache is of the same, and in float32 elsewhere: nothing is rounded that was not.
  func attendGathered(_ query: CacheQuery, _ operand: Buffer, _ output: Buffer, _ logSumExp: Buffer) throws {
    let problem = gathered(query)
    try engine.roster.perform(problem, .fused, on: executor) { plan in
      try executor.withTiles(plan.tiles) {
        let call = try GatheredCall(query, problem, plan, self)
        defer { call.release() }
        try call.run(operand, output, logSumExp)
      }
    }
  }

  /// The problem in the type of the gathered rows, with the keys that some query sees.
  private func gathered(_ query: CacheQuery) -> AttentionProblem {
    var problem = query.problem
    // A rotated query is not rounded to its type again.
    problem.elementType = query.angles == nil ? shape.key.storage.gathered(for: problem.elementType) : .float32
    // The keys of a mask are counted from the first of all.
    if problem.mask == nil, problem.blockMask == nil {
      problem.sequences = zip(problem.sequences, query.sequences).map {
        AttentionSequence($0, keeping: $1.visible.clamped(to: 0..<$1.keyLength))
      }
    }
    return problem
  }
}

/// Attention to gathered rows on its way through a device; its queries, and the output's rows, of all heads at once, keys and
/// values of one block of heads after the other.
private final class GatheredCall {
  private let query: CacheQuery
  private let problem: AttentionProblem
  private let plan: DevicePlan
  private let store: DeviceBlocks
  private let executor: OpenCLExecutor
  private let kernels: any CallKernels
  /// What is given back when nothing is under way.
  private var taken: [Buffer]

  init(_ query: CacheQuery, _ problem: AttentionProblem, _ plan: DevicePlan, _ store: DeviceBlocks) throws {
    self.query = query
    self.problem = problem
    self.plan = plan
    self.store = store
    executor = store.executor
    kernels = try executor.callKernels(problem, plan)
    taken = kernels.scratch
  }

  private func take(_ byteCount: Int) throws -> Buffer {
    let buffer = try executor.pool.take(byteCount)[0]
    taken.append(buffer)
    return buffer
  }

  func release() {
    executor.queues.drain()
    executor.pool.put(taken)
    taken = []
  }

  func run(_ operand: Buffer, _ output: Buffer, _ logSumExp: Buffer) throws {
    let size = problem.elementType.byteCount
    let (D, Dv) = (problem.headDimension, problem.valueDimension)
    let rows = problem.headCount * problem.queryLength
    let asked = query.problem
    let isDense = problem.layout == .bhsd && problem.elementType == asked.elementType && query.angles == nil
    let queries = isDense ? operand : try take(rows * D * size)
    let results = isDense ? output : try take(rows * Dv * size)
    if !isDense {
      try move(
        operand, asked.operands.query, asked.elementType, to: queries, dense(D), problem.elementType, width: D,
        rotatedBy: query.angles)
    }
    for block in plan.blocks {
      let kept = taken.count
      try run(block, queries, results, logSumExp)
      executor.pool.put(Array(taken[kept...]))
      taken.removeLast(taken.count - kept)
    }
    if !isDense {
      try move(
        results, dense(Dv), problem.elementType, to: output, asked.operands.output, asked.elementType, width: Dv)
      try executor.queue.finish()
    }
  }

  // MARK: Queries and output

  /// Where rows of all query heads are when each head's follow one another.
  private func dense(_ width: Int) -> RowLayout {
    RowLayout(.bhsd, heads: problem.queryHeads, rows: problem.queryLength, width: width)
  }

  /// Starts to bring the rows of all query heads to another layout and type.
  private func move(
    _ source: Buffer, _ from: RowLayout, _ type: ElementType, to target: Buffer, _ to: RowLayout,
    _ targetType: ElementType, width: Int, rotatedBy angles: RotaryAngles? = nil
  ) throws {
    let tokens = (0..<problem.batch).flatMap { b in
      (0..<problem.queryLength).map { i in
        TokenRecord(
          key: Int64(from.offset(batch: b, head: 0, row: i)), row: Int64(to.offset(batch: b, head: 0, row: i) / width),
          rotary: Int32(b * problem.queryLength + i))
      }
    }
    let kernels = try executor.cacheKernels(
      CacheKernels.Key(
        elementType: type, storage: RowStorage(targetType), keyWidth: width, valueWidth: width,
        rotaryPairs: angles?.embedding.pairs ?? 0))
    try kernels.enqueueAppend(
      executor.queue, try executor.buffer(copying: tokens), count: tokens.count,
      CacheKernels.Rows(
        key: source, heads: problem.queryHeads, headStrides: (from.headStride, 0), keyWidth: width, valueWidth: 0,
        angles: try angles.map { try executor.buffer(copying: $0.values) }, embedding: angles?.embedding),
      toKeys: target, values: target, blockRows: to.headStride / width)
  }

  // MARK: Heads

  private func run(_ block: DevicePlan.Block, _ queries: Buffer, _ results: Buffer, _ logSumExp: Buffer) throws {
    let (D, Dv) = (problem.headDimension, problem.valueDimension)
    var planes = DistinctPlanes()
    var blockMask = BlockMaskPlanes(query.mask.blocks, problem.blockMask)
    var gathered = GatheredRows(query, store)
    let records = block.heads.map { head in
      let (b, h) = (head / problem.queryHeads, head % problem.queryHeads)
      let first = gathered.add(sequence: b, problem.sequences[b].keyLength, head: h / problem.groupSize)
      var record = HeadRecord(problem, batch: b, head: h, alibiSlopes: query.alibiSlopes, sinks: query.sinks)
      record.query = Int64(dense(D).offset(batch: b, head: h, row: 0))
      record.output = Int64(dense(Dv).offset(batch: b, head: h, row: 0))
      record.logSumExp = Int64(problem.logSumExpOffset(batch: b, head: h))
      record.key = Int64(first * D)
      record.value = Int64(first * Dv)
      if let mask = problem.mask {
        record.place(mask, batch: b, head: h, in: &planes, rows: block.sliceRows, keys: problem.keyLength, plan.tiles)
      }
      record.blockMask = Int64(blockMask?.offset(batch: b, head: h) ?? 0)
      return record
    }
    let size = problem.elementType.byteCount
    let contents = BlockContents(
      mask: query.mask.tensor, problem: problem, block: block, records: records, maskPlanes: planes.starts,
      queues: executor.queues,
      buffers: BlockBuffers(
        all: [
          kernels.readsHeads ? try executor.buffer(copying: records) : queries, queries,
          try take(gathered.rows * D * size),
          try take(gathered.rows * Dv * size), results, logSumExp,
          try blockMask.map { try executor.buffer(copying: $0.elements()) } ?? queries,
        ]), insight: nil)
    try gathered.enqueue(problem.elementType, keys: contents.buffers.key, D, values: contents.buffers.value, Dv)
    let pass = try kernels.makePass(contents)
    let uploaded = executor.queues.areOne ? nil : try executor.queues.upload.enqueueMarker()
    try executor.queues.upload.flush()
    // The pass holds the tables that its kernels read.
    try withExtendedLifetime(pass) {
      _ = try pass.enqueue(after: uploaded, .none)
      try executor.queue.finish()
    }
  }
}
