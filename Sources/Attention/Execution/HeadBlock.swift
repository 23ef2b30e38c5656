import OpenCL

/// One block of a plan on its way through a device: operands up, slices computed, results down.
final class HeadBlock {
  private let call: AttentionCall
  private let problem: AttentionProblem
  private let plan: DevicePlan
  private let block: DevicePlan.Block
  private let kernels: any CallKernels
  private let queues: DeviceQueues
  private let pool: BufferPool
  private let insight: InsightPass?

  private var records: [HeadRecord] = []
  private var maskPlanes = DistinctPlanes()
  private var blockMask: BlockMaskPlanes?
  private var query = RowTransfer()
  private var key = RowTransfer()
  private var value = RowTransfer()
  private var output = RowTransfer()
  private var logSumExp = RowTransfer()
  private var outputElements = 0
  private var logSumExpElements = 0

  private var buffers: BlockBuffers?
  private var pass: (any BlockPass)?
  private var uploaded: Event?
  private var computed: Event?
  private var downloaded: Event?
  /// Host memory that commands under way read or write.
  private var staging: [TensorStorage] = []
  private var gathered: [(RowTransfer, TensorStorage)] = []

  init(
    _ call: AttentionCall, _ problem: AttentionProblem, _ plan: DevicePlan, _ block: DevicePlan.Block,
    results: ResultBuffers, kernels: any CallKernels, insight: InsightKernels?, queues: DeviceQueues, pool: BufferPool
  ) {
    self.call = call
    self.problem = problem
    self.plan = plan
    self.block = block
    self.kernels = kernels
    self.queues = queues
    self.pool = pool
    self.insight = InsightPass(problem, heads: block.heads, kernels: insight, queues: queues, pool: pool)
    describeHeads(results)
  }

  var headCount: Int { block.heads.count }

  // MARK: Operands

  /// Lays the block's heads out densely, one after the other; heads that share keys and values share their rows.
  private func describeHeads(_ results: ResultBuffers) {
    var keyHeads: [Int: (key: Int, value: Int)] = [:]
    blockMask = BlockMaskPlanes(call.mask.blocks, problem.blockMask)
    let size = problem.elementType.byteCount
    for (index, head) in block.heads.enumerated() {
      let (b, h) = (head / problem.queryHeads, head % problem.queryHeads)
      var record = HeadRecord(problem, batch: b, head: h, alibiSlopes: call.alibiSlopes, sinks: call.sinks)
      record.score = Int64(index * block.sliceRows * block.scoreStride)

      record.query = Int64(query.byteCount / size)
      query.append(problem.queryRun(batch: b, head: h), width: problem.headDimension, of: call.query)

      let g = h / problem.groupSize
      let shared = keyHeads[b * problem.keyValueHeads + g] ?? (key.byteCount / size, value.byteCount / size)
      if !plan.keysInPlace, keyHeads.updateValue(shared, forKey: b * problem.keyValueHeads + g) == nil {
        for run in problem.keyRuns(batch: b, head: g) {
          key.append(run, width: problem.headDimension, of: run.source == .past ? call.past?.key ?? call.key : call.key)
        }
        for run in problem.valueRuns(batch: b, head: g) {
          value.append(
            run, width: problem.valueDimension, of: run.source == .past ? call.past?.value ?? call.value : call.value)
        }
      }
      record.key = Int64(shared.key)
      record.value = Int64(shared.value)

      let outputRun = problem.outputRun(batch: b, head: h)
      record.output = Int64(outputElements)
      record.logSumExp = Int64(logSumExpElements)
      outputElements += outputRun.rowCount * problem.valueDimension
      logSumExpElements += outputRun.rowCount
      if let tensor = results.output { output.append(outputRun, width: problem.valueDimension, of: tensor) }
      if let tensor = results.logSumExp {
        let run = RowRun(
          offset: problem.logSumExpOffset(batch: b, head: h), rowStride: 1, rowCount: outputRun.rowCount)
        logSumExp.append(run, width: 1, of: tensor)
      }

      if let mask = problem.mask {
        record.place(
          mask, batch: b, head: h, in: &maskPlanes, rows: block.sliceRows, keys: problem.keyLength, plan.tiles)
      }
      record.blockMask = Int64(blockMask?.offset(batch: b, head: h) ?? 0)
      records.append(record)
    }
  }

  /// Starts bringing the operands to the device; those of a block of the same heads, where one is given, are there.
  func enqueueUpload(operandsOf resident: HeadBlock? = nil) throws {
    let size = problem.elementType.byteCount
    var buffers = BlockBuffers(
      all: try pool.take(
        records.count * MemoryLayout<HeadRecord>.stride, query.byteCount, key.byteCount, value.byteCount,
        outputElements * size, logSumExpElements * MemoryLayout<Float>.stride, blockMask?.byteCount ?? 0))
    if plan.keysInPlace {
      do {
        buffers.inPlace = (try buffers.key.context.buffer(of: call.key), try buffers.key.context.buffer(of: call.value))
      } catch {
        pool.put(buffers.all)
        throw error
      }
    }
    self.buffers = buffers
    try insight?.allocate()
    let operands = resident?.buffers ?? buffers
    if kernels.readsHeads || insight != nil {
      staging.append(try queues.upload.enqueueWrite(records, to: operands.heads))
    }
    pass = try kernels.makePass(
      BlockContents(
        mask: call.mask.tensor, problem: problem, block: block, records: records, maskPlanes: maskPlanes.starts,
        queues: queues, buffers: operands, insight: insight))
    for (rows, buffer) in [(query, buffers.query), (key, buffers.key), (value, buffers.value)] where resident == nil {
      if let storage = try rows.enqueueWrite(queues.upload, to: buffer) { staging.append(storage) }
    }
    if resident == nil, let storage = try blockMask?.enqueueWrite(queues.upload, to: buffers.blockMask) {
      staging.append(storage)
    }
    uploaded = queues.areOne ? nil : try queues.upload.enqueueMarker()
    try queues.upload.flush()
  }

  // MARK: Kernels

  /// Starts the kernels of every slice, and the transfers of weights and scores between them.
  func enqueueCompute(_ results: ResultBuffers) throws {
    guard let pass else { return }
    computed = try pass.enqueue(after: uploaded, results)
    try queues.compute.flush()
  }

  // MARK: Results

  /// Starts bringing the results to the host.
  func enqueueDownload(_ results: ResultBuffers) throws {
    guard let buffers else { return }
    let events = [computed].compactMap { $0 }
    for (rows, buffer) in [(output, buffers.output), (logSumExp, buffers.logSumExp)] where rows.byteCount > 0 {
      if let storage = try rows.enqueueRead(queues.download, from: buffer, waitingFor: events) {
        gathered.append((rows, storage))
      }
    }
    try insight?.enqueueDownload(results, waitingFor: events)
    downloaded = try queues.download.enqueueMarker(waitingFor: events)
    try queues.download.flush()
  }

  /// Waits for the results and gives the buffers back.
  func finish() throws {
    try downloaded?.wait()
    for (rows, storage) in gathered { rows.scatter(storage) }
    release()
  }

  /// Gives the buffers back; nothing may be under way.
  func release() {
    gathered = []
    staging = []
    insight?.release()
    if let buffers { pool.put(buffers.all) }
    buffers = nil
    pass = nil
  }
}

extension Context {
  /// The memory of a tensor as a buffer that kernels only read, where the caller has it.
  fileprivate func buffer(of tensor: Tensor) throws -> Buffer {
    let memory = UnsafeMutableRawBufferPointer(start: tensor.storage.base, count: tensor.byteCount)
    return try Buffer(self, using: memory, owner: tensor.storage, access: .readOnly)
  }
}
