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
final class OpenCLExecutor: @unchecked Sendable {
  let device: Device
  private let turn = Mutex(())
  private let context: Context
  private let queues: DeviceQueues
  private let pool: BufferPool
  private var kernels: [StagedKernels.Key: StagedKernels] = [:]
  private var insightKernels: [StagedKernels.Key: InsightKernels] = [:]

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
    _ call: AttentionCall, _ problem: AttentionProblem, _ plan: StagedPlan, into results: ResultBuffers,
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
    _ call: AttentionCall, _ problem: AttentionProblem, _ plan: StagedPlan, into results: ResultBuffers,
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
    _ call: AttentionCall, _ problem: AttentionProblem, _ plan: StagedPlan, into results: ResultBuffers,
    _ body: (inout Pipeline) throws -> Void
  ) throws {
    try turn.withLock { _ in
      let key = StagedKernels.Key(elementType: problem.elementType, tiles: plan.tiles, aligned: plan.aligned)
      let kernels = try kernels[key] ?? StagedKernels(key, context)
      self.kernels[key] = kernels
      let insight = problem.outputs.needsInsight ? try insightKernels[key] ?? InsightKernels(key, context) : nil
      if let insight { insightKernels[key] = insight }
      let scratch = try SliceScratch(problem, plan, pool: pool)
      var pipeline = Pipeline { block in
        StagedBlock(
          call, problem, plan, block, results: results, kernels: kernels, insight: insight, queues: self.queues,
          pool: self.pool, scratch: scratch)
      }
      defer {
        queues.drain()
        for block in pipeline.underWay { block.release() }
        pool.put(scratch.all)
      }
      try body(&pipeline)
    }
  }
}

/// The blocks of a call that are under way, oldest first.
private struct Pipeline {
  private let makeBlock: (StagedPlan.Block) -> StagedBlock
  private(set) var underWay: [StagedBlock] = []

  init(_ makeBlock: @escaping (StagedPlan.Block) -> StagedBlock) { self.makeBlock = makeBlock }

  mutating func begin(_ block: StagedPlan.Block) -> StagedBlock {
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
