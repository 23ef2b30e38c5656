import OpenCL
import Synchronization

/// Three in-order queues, so that one block's transfers overlap another's kernels where the device allows it.
final class DeviceQueues {
  let upload: CommandQueue
  let compute: CommandQueue
  let download: CommandQueue

  init(_ context: Context) throws {
    upload = try CommandQueue(context)
    compute = try CommandQueue(context)
    download = try CommandQueue(context)
  }

  /// Waits until nothing is under way, whatever became of it: memory may then be given back.
  func drain() {
    for queue in [upload, compute, download] { try? queue.finish() }
  }
}

/// Carries out plans on one OpenCL device. Calls on the same device take turns.
package final class OpenCLExecutor: @unchecked Sendable {
  package let device: Device
  package let context: Context
  let queues: DeviceQueues
  private let turn = Mutex(())
  private let pool: BufferPool
  private var staged: [StagedKernels.Key: StagedKernels] = [:]
  private var fusedCPU: [FusedCPUKernels.Key: FusedCPUKernels] = [:]
  private var fusedGPU: [FusedGPUKernels.Key: FusedGPUKernels] = [:]
  private var decode: [DecodeKernels.Key: DecodeKernels] = [:]
  private var cache: [CacheKernels.Key: CacheKernels] = [:]
  /// Partial results of decode steps, which follow one another on the compute queue.
  private var partialResults: (partial: Buffer, ends: Buffer)?
  private var insight: [StagedKernels.Key: InsightKernels] = [:]

  init(_ device: Device) throws {
    self.device = device
    context = try Context(device)
    queues = try DeviceQueues(context)
    pool = BufferPool(context)
  }

  /// The most device memory allocated at once since the last reset.
  var peakBytes: Int { turn.withLock { _ in pool.peakBytes } }
  func resetPeak() {
    turn.withLock { _ in
      pool.dropFree()
      pool.resetPeak()
    }
  }

  /// Computes the plan's blocks, as many under way at a time as it says, and writes the results.
  ///
  /// - Parameter progress: Called with the number of heads finished since the last call.
  func run(
    _ call: AttentionCall, _ problem: AttentionProblem, _ plan: DevicePlan, into results: ResultBuffers,
    progress: @Sendable (Int) -> Void
  ) throws {
    try withPipeline(call, problem, plan, into: results) { pipeline in
      for block in plan.blocks {
        if pipeline.underWay.count == plan.blocksUnderWay { progress(try pipeline.finishFirst()) }
        let block = pipeline.begin(block)
        try block.enqueueUpload()
        try block.enqueueCompute(results)
        try block.enqueueDownload(results)
      }
      while !pipeline.underWay.isEmpty { progress(try pipeline.finishFirst()) }
    }
  }

  /// Times the kernels alone, operands on the device, from enqueueing to completion on the host's clock; one number a
  /// repetition, the first after a run that warms up. The results are written too.
  func measure(
    _ call: AttentionCall, _ problem: AttentionProblem, _ plan: DevicePlan, into results: ResultBuffers,
    repetitions: Int
  ) throws -> [Double] {
    var seconds = Array(repeating: 0.0, count: repetitions)
    try withPipeline(call, problem, plan, into: results) { pipeline in
      for block in plan.blocks {
        let block = pipeline.begin(block)
        try block.enqueueUpload()
        try block.enqueueCompute(results)
        try queues.compute.finish()
        for repetition in seconds.indices {
          let start = ContinuousClock.now
          try block.enqueueCompute(results)
          try queues.compute.finish()
          seconds[repetition] += (ContinuousClock.now - start) / .seconds(1)
        }
        try block.enqueueDownload(results)
        _ = try pipeline.finishFirst()
      }
    }
    return seconds
  }

  /// Hands `body` what it needs to send blocks through the device, and sees that nothing is under way when it is done
  /// or has failed: only then may the caller's memory and the buffers be used for something else.
  private func withPipeline(
    _ call: AttentionCall, _ problem: AttentionProblem, _ plan: DevicePlan, into results: ResultBuffers,
    _ body: (inout Pipeline) throws -> Void
  ) throws {
    try turn.withLock { _ in
      let kernels = try callKernels(problem, plan)
      let insight = try insightKernels(problem, plan)
      var pipeline = Pipeline { block in
        HeadBlock(
          call, problem, plan, block, results: results, kernels: kernels, insight: insight, queues: self.queues,
          pool: self.pool)
      }
      defer {
        queues.drain()
        for block in pipeline.underWay { block.release() }
        pool.put(kernels.scratch)
      }
      try body(&pipeline)
    }
  }
}

extension OpenCLExecutor {
  /// The kernels of the most attended keys and the attention received, where either is asked for.
  private func insightKernels(_ problem: AttentionProblem, _ plan: DevicePlan) throws -> InsightKernels? {
    guard let tiles = plan.insightTiles else { return nil }
    let key = StagedKernels.Key(elementType: problem.elementType, tiles: tiles, aligned: plan.aligned)
    let kernels = try insight[key] ?? InsightKernels(key, context)
    insight[key] = kernels
    return kernels
  }

  /// The kernels that a plan's tiles stand for, built or found, with memory for one call.
  private func callKernels(_ problem: AttentionProblem, _ plan: DevicePlan) throws -> any CallKernels {
    switch plan.tiles {
    case .staged(let tiles):
      let key = StagedKernels.Key(elementType: problem.elementType, tiles: tiles, aligned: plan.aligned)
      let kernels = try staged[key] ?? StagedKernels(key, context)
      staged[key] = kernels
      return try StagedCall(kernels, tiles, problem, plan, pool: pool)
    case .fusedCPU(let tiles):
      let key = FusedCPUKernels.Key(elementType: problem.elementType, tiles: tiles, aligned: plan.aligned)
      let kernels = try fusedCPU[key] ?? FusedCPUKernels(key, context)
      fusedCPU[key] = kernels
      return try FusedCPUCall(kernels, problem, plan, pool: pool)
    case .fusedGPU(let tiles):
      let key = FusedGPUKernels.Key(
        elementType: problem.elementType, tiles: tiles, headDimension: problem.headDimension,
        valueDimension: problem.valueDimension, aligned: plan.aligned)
      let kernels = try fusedGPU[key] ?? FusedGPUKernels(key, context)
      fusedGPU[key] = kernels
      return try FusedGPUCall(kernels, problem, plan, pool: pool)
    case .decode(let tiles):
      let kernels = try decodeKernels(
        DecodeKernels.Key(
          elementType: problem.elementType, storage: RowStorage(problem.elementType), tiles: tiles,
          headDimension: problem.headDimension, valueDimension: problem.valueDimension,
          storedValues: problem.valueDimension, aligned: plan.aligned))
      return try DecodeCall(kernels, problem, plan, pool: pool)
    }
  }
}

extension OpenCLExecutor {
  /// Runs `body` while nobody else uses the device's kernels; OpenCL's errors become the library's.
  package func withTurn(_ body: () throws -> Void) throws {
    try turn.withLock { _ in try rethrowing { try body() } }
  }

  /// The kernels of a cache of a kind, built or found.
  func cacheKernels(_ key: CacheKernels.Key) throws -> CacheKernels {
    let kernels = try cache[key] ?? CacheKernels(key, context)
    cache[key] = kernels
    return kernels
  }

  /// Memory for the partial results of a decode step, of at least these bytes. The next step on the compute queue may use it
  /// again; what a step under way uses lives until it is done, as OpenCL has it.
  func decodeScratch(partial: Int, ends: Int) throws -> (partial: Buffer, ends: Buffer) {
    if let partialResults, partialResults.partial.byteCount >= partial, partialResults.ends.byteCount >= ends {
      return partialResults
    }
    // Twice as much, so that a growing sequence seldom needs more.
    let made = (
      partial: try Buffer(context, byteCount: 2 * partial + 16), ends: try Buffer(context, byteCount: 2 * ends + 16)
    )
    partialResults = made
    return made
  }

  /// The decode kernels of a kind, built or found.
  func decodeKernels(_ key: DecodeKernels.Key) throws -> DecodeKernels {
    let kernels = try decode[key] ?? DecodeKernels(key, context)
    decode[key] = kernels
    return kernels
  }
}

/// The blocks of a call that are under way, oldest first.
private struct Pipeline {
  private let makeBlock: (DevicePlan.Block) -> HeadBlock
  private(set) var underWay: [HeadBlock] = []

  init(_ makeBlock: @escaping (DevicePlan.Block) -> HeadBlock) { self.makeBlock = makeBlock }

  mutating func begin(_ block: DevicePlan.Block) -> HeadBlock {
    let block = makeBlock(block)
    underWay.append(block)
    return block
  }

  /// Waits for the oldest block; the number of its heads.
  mutating func finishFirst() throws -> Int {
    let block = underWay[0]
    try block.finish()
    underWay.removeFirst()
    return block.headCount
  }
}
