import OpenCL
import Synchronization

/// Three in-order queues, so that one block's transfers overlap another's kernels where the device allows it.
final class DeviceQueues {
  let upload: CommandQueue
  let compute: CommandQueue
  let download: CommandQueue

  /// Whether the three are one, on which nothing begins before what was given to it earlier is done.
  var areOne: Bool { upload === compute }

  /// On a processor nothing is gained by overlapping: there the three are one, and no command waits for another queue's.
  init(_ context: Context) throws {
    upload = try CommandQueue(context)
    let isCPU = context.device.info.kind == .cpu
    compute = isCPU ? upload : try CommandQueue(context)
    download = isCPU ? upload : try CommandQueue(context)
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
  let pool: BufferPool
  /// Tables of cache and decode kernels; used under ``withTurn(_:)`` alone.
  private let ring: UploadRing
  private var staged: [StagedKernels.Key: StagedKernels] = [:]
  private var fusedCPU: [FusedCPUKernels.Key: FusedCPUKernels] = [:]
  private var fusedGPU: [FusedGPUKernels.Key: FusedGPUKernels] = [:]
  private var decode: [DecodeKernels.Key: DecodeKernels] = [:]
  private var cache: [CacheKernels.Key: CacheKernels] = [:]
  private var rotary: [ElementType: Kernel] = [:]
  private var gather: [GatherProgram.Key: Kernel] = [:]
  /// Partial results of decode steps, which follow one another on the compute queue.
  private var partialResults: (partial: Buffer, ends: Buffer)?
  private var lastWork: (request: DecodeWorkRequest, work: DecodeWork)?
  private var insight: [StagedKernels.Key: InsightKernels] = [:]

  init(_ device: Device, programs: ProgramCache) throws {
    self.device = device
    context = try Context(device, programCache: programs)
    queues = try DeviceQueues(context)
    pool = BufferPool(context)
    ring = UploadRing(queues.compute, isGPU: DeviceProfile(device).deviceClass == .gpu)
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

  /// What a call of one block costs above its kernels with its operands on the device, on the host's clock: checked and
  /// planned anew, laid out, sent off and waited for, less the kernels by themselves right before; one number a
  /// repetition.
  func measureOverhead(
    _ call: AttentionCall, _ problem: AttentionProblem, _ plan: DevicePlan, into results: ResultBuffers,
    repetitions: Int, replan: (AttentionProblem) throws -> DevicePlan?
  ) throws -> [Double] {
    var seconds: [Double] = []
    try withPipeline(call, problem, plan, into: results) { pipeline in
      guard plan.blocks.count == 1, let first = plan.blocks.first else { return }
      let resident = pipeline.begin(first)
      try resident.enqueueUpload()
      for repetition in 0...repetitions {
        let start = ContinuousClock.now
        try resident.enqueueCompute(results)
        try queues.compute.finish()
        let kernelsDone = ContinuousClock.now
        let again = try AttentionProblem(call)
        guard let plan = try replan(again) else { return }
        let insight = try insightKernels(again, plan)
        let kernels = try callKernels(again, plan)
        let block = HeadBlock(
          call, again, plan, first, results: results, kernels: kernels, insight: insight, queues: queues, pool: pool)
        defer {
          queues.drain()
          block.release()
          pool.put(kernels.scratch)
        }
        try block.enqueueUpload(operandsOf: resident)
        try block.enqueueCompute(results)
        try queues.compute.finish()
        let done = ContinuousClock.now
        // The first warms up.
        if repetition > 0 { seconds.append((done - kernelsDone - (kernelsDone - start)) / .seconds(1)) }
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
    try withTiles(plan.tiles) {
      // The kernels of insight first: where they are rejected, no memory has been taken.
      let insight = try insightKernels(problem, plan)
      let kernels = try callKernels(problem, plan)
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
    let key = StagedKernels.Key(problem, plan, tiles)
    let kernels = try insight[key] ?? rejecting(.staged(tiles)) { try InsightKernels(key, context) }
    insight[key] = kernels
    return kernels
  }

  /// The kernels that a plan's tiles stand for, built or found, with memory for one call.
  func callKernels(_ problem: AttentionProblem, _ plan: DevicePlan) throws -> any CallKernels {
    switch plan.tiles {
    case .staged(let tiles):
      let key = StagedKernels.Key(problem, plan, tiles)
      let kernels = try staged[key] ?? StagedKernels(key, context)
      staged[key] = kernels
      return try StagedCall(kernels, tiles, problem, plan, pool: pool)
    case .fusedCPU(let tiles):
      let key = FusedCPUKernels.Key(problem, plan, tiles)
      let kernels = try fusedCPU[key] ?? FusedCPUKernels(key, context)
      fusedCPU[key] = kernels
      return try FusedCPUCall(kernels, problem, plan, pool: pool)
    case .fusedGPU(let tiles):
      let key = FusedGPUKernels.Key(problem, plan, tiles)
      let kernels = try fusedGPU[key] ?? FusedGPUKernels(key, context)
      fusedGPU[key] = kernels
      return try FusedGPUCall(kernels, problem, plan, pool: pool)
    case .decode(let tiles):
      let kernels = try decodeKernels(DecodeKernels.Key(problem, plan, tiles))
      return try DecodeCall(kernels, problem, plan, pool: pool)
    }
  }
}

extension OpenCLExecutor {
  /// Runs `body` while nobody else uses the device's kernels, those of some tiles.
  ///
  /// - Throws: ``TilesRejected`` where the driver has nothing against `body` but these.
  func withTiles(_ tiles: KernelTiles, _ body: () throws -> Void) throws {
    try turn.withLock { _ in try rejecting(tiles, body) }
  }

  /// Runs `body`, which builds or enqueues kernels of some tiles: that they do not compile, or are too large once built, is
  /// ``TilesRejected``.
  package func rejecting<Result>(_ tiles: KernelTiles, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as OpenCLError where error.isBuildFailure || error.isKernelTooLarge {
      throw TilesRejected(device: device.identifier, tiles: tiles, cause: error)
    }
  }

  /// Runs `body` while nobody else uses the device's kernels; OpenCL's errors become the library's.
  package func withTurn(_ body: () throws -> Void) throws {
    try turn.withLock { _ in try rethrowing { try body() } }
  }

  /// A table on the device, for the commands of this turn, and of the compute queue alone.
  func upload(byteCount: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) throws -> Buffer {
    try ring.upload(byteCount: byteCount, fill)
  }

  /// The same of an array.
  func upload<Element: BitwiseCopyable>(_ elements: [Element]) throws -> Buffer {
    try elements.withUnsafeBytes { try ring.upload($0) }
  }

  /// Rows on the device, for the commands of this turn.
  func upload(_ rows: KVRows) throws -> Buffer {
    guard case .host(let tensor) = rows else { return try operand(rows) }
    return try tensor.withUnsafeBytes { try ring.upload($0) }
  }

  /// The kernels of a cache of a kind, built or found.
  func cacheKernels(_ key: CacheKernels.Key) throws -> CacheKernels {
    let kernels = try cache[key] ?? CacheKernels(key, context)
    cache[key] = kernels
    return kernels
  }

  /// The kernel that rotates tensors of a type, built or found.
  func rotaryKernel(_ elementType: ElementType) throws -> Kernel {
    let kernel = try rotary[elementType] ?? RotaryProgram.kernel(elementType, context)
    rotary[elementType] = kernel
    return kernel
  }

  /// The kernel that brings rows of a cache side by side, built or found.
  func gatherKernel(_ key: GatherProgram.Key) throws -> Kernel {
    let kernel = try gather[key] ?? GatherProgram.kernel(key, context)
    gather[key] = kernel
    return kernel
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

  /// The work of a step over a cache, made or that of the last step.
  func decodeWork(_ request: DecodeWorkRequest) -> DecodeWork {
    if let lastWork, lastWork.request == request { return lastWork.work }
    let work = request.work
    lastWork = (request, work)
    return work
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
