import Dispatch
import OpenCL
import Synchronization

/// Computes attention on the devices it was made for.
///
/// ```swift
/// let engine = try AttentionEngine()
/// let output = try engine.scaledDotProductAttention(query: q, key: k, value: v, mask: .causal(.lowerRight))
/// ```
///
/// An engine keeps compiled kernels and device buffers for later calls: make one and use it often, from any thread.
/// Calls on one device take turns.
public final class AttentionEngine: Sendable {
  let kernel: KernelChoice
  let cpu: CPUExecutor
  /// Where the work is done.
  package let roster: DeviceRoster

  /// - Parameters:
  ///   - device: The devices to use. Under `.auto`, one that cannot do a call is passed over for the next.
  ///   - kernel: The kernels to use on OpenCL devices.
  ///   - tuning: Where tiles that were tuned for the devices are found; read here, once.
  ///   - threads: The threads that the CPU backend works on, the caller's among them, from 1 to 1024. Where it is nil,
  ///     `ATTENTION_THREADS`, or as many as there are processors. Results do not depend on it.
  ///   - notice: Told, in one line, when `.auto` passes a device over, or when tuning is ignored, and why.
  /// - Throws: ``AttentionError/noDevice(requested:available:)`` and ``AttentionError/cannotRun(device:reason:)`` for a
  ///   named device, and ``AttentionError/invalid(argument:found:expected:)`` for a wrong number of threads or instruction set.
  ///   Otherwise `.auto` does not throw: the CPU is always there.
  public convenience init(
    device: DeviceSelection = .auto, kernel: KernelChoice = .auto, tuning: TuningStore = .standard, threads: Int? = nil,
    notice: @escaping @Sendable (String) -> Void = { _ in }
  ) throws {
    try self.init(
      device: device, kernel: kernel, tuning: tuning, programs: .standard, threads: threads, notice: notice)
  }

  /// As ``init(device:kernel:tuning:threads:notice:)``, with a place of its own for compiled kernels.
  package init(
    device: DeviceSelection, kernel: KernelChoice, tuning: TuningStore, programs: ProgramCache, threads: Int? = nil,
    notice: @escaping @Sendable (String) -> Void
  ) throws {
    self.kernel = kernel
    let threads = try Threads(threads)
    cpu = CPUExecutor(threads)
    roster = try DeviceRoster(device, tuning: tuning, programs: programs, threads: threads.count, notice: notice)
  }

  /// The devices, in the order in which they are tried (`auto`) or share the heads (named).
  public var devices: [DeviceProfile] { roster.profiles }

  /// The devices that the next call goes to: all that were named; under `.auto`, the first that has not failed.
  public var activeDevices: [DeviceProfile] { roster.active }

  /// Attention over whole tensors: `softmax(scale · query · keyᵀ + mask) · value`.
  ///
  /// - Parameters:
  ///   - query: `[B, Hq, Lq, D]`; float32, float16 or bfloat16.
  ///   - key: `[B, Hkv, Lk, D]`, of the same type; `Hq` is a multiple of `Hkv`.
  ///   - value: `[B, Hkv, Lk, Dv]`, of the same type.
  ///   - mask: Which keys each query sees.
  ///   - scale: What the products are multiplied by; `1/√D` where it is nil.
  /// - Returns: `[B, Hq, Lq, Dv]`, of the query's type. A query that sees no key gives zeros.
  /// - Throws: ``AttentionError``.
  public func scaledDotProductAttention(
    query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask = .none, scale: Float? = nil
  ) throws -> Tensor {
    let result = try scaledDotProductAttention(
      query: query, key: key, value: value, mask: mask, scale: scale, returning: .output)
    guard let output = result.output else {
      throw AttentionError.cannotRun(device: "engine", reason: "the output was not computed")
    }
    return output
  }

  /// As ``scaledDotProductAttention(query:key:value:mask:scale:)``, returning what is asked for.
  public func scaledDotProductAttention(
    query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask = .none, scale: Float? = nil,
    returning outputs: AttentionOutputs
  ) throws -> AttentionResult {
    var call = AttentionCall(query: query, key: key, value: value)
    call.mask = mask
    call.scale = scale
    call.returning = outputs
    return try attention(call)
  }

  /// Computes a call with everything that a call can hold.
  ///
  /// - Parameters:
  ///   - call: The operands and options.
  ///   - progress: Called with the fraction done, from 0 to 1, from another thread, the last time before the call returns.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a call that does not fit together; the device's
  ///   error where a named device fails.
  public func attention(
    _ call: AttentionCall, progress: (@Sendable (Double) -> Void)? = nil
  ) throws -> AttentionResult {
    let problem = try AttentionProblem(call)
    return try roster.perform(problem, kernel) { plan in
      let results = try ResultBuffers(problem)
      let reports = progress.map { ProgressReports(of: problem.headCount, $0) }
      defer { reports?.finish() }
      try self.carryOut(plan, call, problem, into: results) { reports?.add($0) }
      return results.result
    }
  }

  /// As ``attention(_:progress:)``, for tasks: the work is done on threads of its own, and the task's thread is free meanwhile.
  ///
  /// - Throws: As that, and `CancellationError` where the task was cancelled before. What has begun is finished.
  public func result(of call: AttentionCall) async throws -> AttentionResult {
    try Task.checkCancellation()
    return try await withCheckedThrowingContinuation { continuation in
      DispatchQueue.global().async { continuation.resume(with: Result { try self.attention(call) }) }
    }
  }

  /// Carries out a plan for a call that was made elsewhere: for these devices, but perhaps of tighter limits.
  package func attention(_ call: AttentionCall, following plan: AttentionPlan) throws -> AttentionResult {
    for part in plan.parts where !devices.contains(where: { $0.identifier == part.device.identifier }) {
      throw AttentionError.noDevice(requested: part.device.identifier, available: devices.map(\.identifier))
    }
    let problem = try AttentionProblem(call)
    let results = try ResultBuffers(problem)
    try carryOut(plan, call, problem, into: results, progress: { _ in })
    return results.result
  }

  /// What ``attention(_:progress:)`` would do with a problem, without doing it.
  public func plan(_ problem: AttentionProblem) throws -> AttentionPlan {
    try roster.perform(problem, kernel) { $0 }
  }

  private func carryOut(
    _ plan: AttentionPlan, _ call: AttentionCall, _ problem: AttentionProblem, into results: ResultBuffers,
    progress: @escaping @Sendable (Int) -> Void
  ) throws {
    try Self.concurrently(plan.parts) { part in
      switch part.work {
      case .reference:
        ReferenceAttention.compute(call, problem, heads: part.heads, into: results, progress: progress)
      case .cpu(let plan):
        try self.cpu.run(CPUOperands(call, problem), problem, plan, into: results, progress: progress)
      case .kernels(let kernels):
        try self.roster.executor(part.device)?.run(call, problem, kernels, into: results, progress: progress)
      }
    }
  }

  /// Runs `body` for every part at once; the first error is thrown when all are done.
  static func concurrently(
    _ parts: [AttentionPlan.Part], _ body: @Sendable (AttentionPlan.Part) throws -> Void
  ) throws {
    if parts.count == 1 { return try body(parts[0]) }
    let failure = Mutex<(any Error)?>(nil)
    DispatchQueue.concurrentPerform(iterations: parts.count) { index in
      do {
        try body(parts[index])
      } catch {
        failure.withLock { $0 = $0 ?? error }
      }
    }
    if let error = failure.withLock({ $0 }) { throw error }
  }
}
