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
  /// The devices, in the order in which they are tried (`auto`) or share the heads (named).
  public let devices: [DeviceProfile]

  private let selection: DeviceSelection
  private let kernel: KernelChoice
  private let backends: [Backend]
  private let notice: @Sendable (String) -> Void
  private let cpu: CPUExecutor
  private let state: Mutex<State>

  private struct State {
    var profiles: [DeviceProfile]
    var executors: [String: OpenCLExecutor] = [:]
    /// Devices that `auto` has given up.
    var abandoned: Set<String> = []
    /// Notices given: each is worth one line.
    var noticed: Set<String> = []
  }

  /// - Parameters:
  ///   - device: The devices to use. Under `.auto`, one that cannot do a call is passed over for the next.
  ///   - kernel: The kernels to use on OpenCL devices.
  ///   - threads: The threads that the CPU backend works on, the caller's among them, from 1 to 1024. Where it is nil,
  ///     `ATTENTION_THREADS`, or as many as there are processors. Results do not depend on it.
  ///   - notice: Told, in one line, when `.auto` passes a device over, and why.
  /// - Throws: ``AttentionError/noDevice(requested:available:)`` and ``AttentionError/cannotRun(device:reason:)`` for a
  ///   named device, and ``AttentionError/invalid(argument:found:expected:)`` for a wrong number of threads or instruction set.
  ///   Otherwise `.auto` does not throw: the CPU is always there.
  public init(
    device: DeviceSelection = .auto, kernel: KernelChoice = .auto, threads: Int? = nil,
    notice: @escaping @Sendable (String) -> Void = { _ in }
  ) throws {
    selection = device
    self.kernel = kernel
    self.notice = notice
    let threads = try Threads(threads)
    cpu = CPUExecutor(threads)
    backends =
      switch device {
      case .named(let names): try names.map(DeviceRegistry.backend(named:)).uniqued()
      case .auto: try DeviceRegistry.automatic(notice: notice)
      }
    devices = backends.map { $0.profile(threads: threads.count) }
    state = Mutex(State(profiles: devices))
  }

  /// The devices that the next call goes to: all that were named; under `.auto`, the first that has not failed.
  public var activeDevices: [DeviceProfile] {
    guard selection == .auto else { return devices }
    let abandoned = state.withLock { $0.abandoned }
    return devices.first { !abandoned.contains($0.identifier) }.map { [$0] } ?? []
  }

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
  ///   - progress: Called with the fraction done, from 0 to 1, from any thread.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a call that does not fit together; the device's
  ///   error where a named device fails.
  public func attention(
    _ call: AttentionCall, progress: @escaping @Sendable (Double) -> Void = { _ in }
  ) throws -> AttentionResult {
    let problem = try AttentionProblem(call)
    return try perform(problem) { plan in
      let results = try ResultBuffers(problem)
      let done = Mutex(0)
      let advance: @Sendable (Int) -> Void = { heads in
        let finished = done.withLock { done in
          done += heads
          return done
        }
        progress(Double(finished) / Double(max(1, problem.headCount)))
      }
      try self.carryOut(plan, call, problem, into: results, progress: advance)
      return results.result
    }
  }

  /// As ``attention(_:progress:)``, for tasks: the work is done on threads of its own, and the task's thread is free meanwhile.
  public func result(of call: AttentionCall) async throws -> AttentionResult {
    try await withCheckedThrowingContinuation { continuation in
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
    try perform(problem) { $0 }
  }

  /// Times a call on the engine's devices: the plan, its result, and the kernels' seconds for each repetition.
  package func measure(
    _ call: AttentionCall, repetitions: Int
  ) throws -> (plan: AttentionPlan, result: AttentionResult, kernelSeconds: [Double], peakBytes: Int) {
    let problem = try AttentionProblem(call)
    return try perform(problem) { plan in
      let results = try ResultBuffers(problem)
      let parts = plan.parts
      for part in parts { try self.executor(part.device)?.resetPeak() }
      let seconds = Mutex(Array(repeating: 0.0, count: repetitions))
      try Self.concurrently(parts) { part in
        let own: [Double]
        switch part.work {
        case .kernels(let kernels):
          guard let executor = try self.executor(part.device) else { return }
          own = try executor.measure(call, problem, kernels, into: results, repetitions: repetitions)
        case .cpu(let plan):
          own = try Self.times(repetitions) { try self.cpu.run(call, problem, plan, into: results) { _ in } }
        case .reference:
          own = Self.times(repetitions) {
            ReferenceAttention.compute(call, problem, heads: part.heads, into: results)
          }
        }
        // Devices work side by side: the slowest decides.
        seconds.withLock { $0 = zip($0, own).map(max) }
      }
      let peak = try parts.map { part in
        if case .cpu(let plan) = part.work { return plan.scratchBytes }
        return try self.executor(part.device)?.peakBytes ?? 0
      }.reduce(0, +)
      return (plan, results.result, seconds.withLock { $0 }, peak)
    }
  }

  /// The seconds that each run of `body` takes.
  private static func times(_ repetitions: Int, _ body: () throws -> Void) rethrows -> [Double] {
    try (0..<repetitions).map { _ in
      let start = ContinuousClock.now
      try body()
      return (ContinuousClock.now - start) / .seconds(1)
    }
  }

  // MARK: Devices

  /// Plans a problem and hands the plan to `body`. Under `auto`, one device after the other is tried.
  private func perform<Result>(
    _ problem: AttentionProblem, _ body: (AttentionPlan) throws -> Result
  ) throws -> Result {
    guard selection == .auto else { return try replanning(problem, on: Array(devices.indices), body) }
    for index in devices.indices.dropLast() {
      let device = devices[index]
      if state.withLock({ $0.abandoned.contains(device.identifier) }) { continue }
      do {
        return try replanning(problem, on: [index], body)
      } catch {
        let next = devices[index + 1]
        giveNotice("\(device.name): \(Self.reason(of: error)); falling back to \(next.name)")
        // Too little memory is this call's trouble; anything else would happen again.
        if !Self.isTransient(error) { state.withLock { _ = $0.abandoned.insert(device.identifier) } }
      }
    }
    return try replanning(problem, on: [devices.count - 1], body)
  }

  /// Plans, and plans again with other tiles while a built kernel turns out too large for its work-groups.
  private func replanning<Result>(
    _ problem: AttentionProblem, on indices: [Int], _ body: (AttentionPlan) throws -> Result
  ) throws -> Result {
    while true {
      let profiles = state.withLock { state in indices.map { state.profiles[$0] } }
      do {
        return try body(try AttentionPlan(problem, devices: profiles, kernel: kernel))
      } catch let rejected as TilesRejected {
        // The planner leaves rejected tiles out and says so when none are left, so this ends.
        state.withLock { state in
          for index in indices where state.profiles[index].identifier == rejected.device {
            state.profiles[index].rejectedTiles.append(rejected.tiles)
          }
        }
      } catch let error as OpenCLError {
        throw AttentionError.openCL(error)
      }
    }
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
        try self.cpu.run(call, problem, plan, into: results, progress: progress)
      case .kernels(let kernels):
        try self.executor(part.device)?.run(call, problem, kernels, into: results, progress: progress)
      }
    }
  }

  /// Runs `body` for every part at once; the first error is thrown when all are done.
  private static func concurrently(
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

  /// The executor of an OpenCL device, made when it is first needed; nil for the others.
  private func executor(_ profile: DeviceProfile) throws -> OpenCLExecutor? {
    guard let index = devices.firstIndex(where: { $0.identifier == profile.identifier }),
      case .openCL(let device) = backends[index]
    else { return nil }
    return try state.withLock { state in
      if let executor = state.executors[profile.identifier] { return executor }
      let executor = try OpenCLExecutor(device)
      state.executors[profile.identifier] = executor
      return executor
    }
  }

  /// Where device tensors and caches live: on the first device of those that are used now.
  package enum Home {
    case host
    case device(OpenCLExecutor)
  }

  package func home() throws -> Home {
    while let profile = activeDevices.first {
      do {
        return try executor(profile).map(Home.device) ?? .host
      } catch {
        guard selection == .auto else { throw (error as? OpenCLError).map(AttentionError.openCL) ?? error }
        giveNotice("\(profile.name): \(Self.reason(of: error)); passing it over")
        state.withLock { _ = $0.abandoned.insert(profile.identifier) }
      }
    }
    return .host
  }

  /// What planning knows of an executor's device.
  func profile(of executor: OpenCLExecutor) throws -> DeviceProfile {
    guard let profile = devices.first(where: { $0.identifier == executor.device.identifier }) else {
      throw AttentionError.noDevice(requested: executor.device.identifier, available: devices.map(\.identifier))
    }
    return profile
  }

  private static func isTransient(_ error: any Error) -> Bool {
    switch error {
    case AttentionError.openCL(let error): error.isOutOfMemory
    case AttentionError.cannotRun: true
    case AttentionError.outOfMemory: true
    default: false
    }
  }

  /// One line of why: a compiler's log is not for notices.
  private static func reason(of error: any Error) -> Substring {
    if case AttentionError.cannotRun(_, let reason) = error { return reason[...] }
    return "\(error)".split(separator: "\n", maxSplits: 1).first ?? "failed"
  }

  private func giveNotice(_ text: String) {
    if state.withLock({ $0.noticed.insert(text).inserted }) { notice(text) }
  }
}

extension Backend {
  /// What planning knows of the backend.
  ///
  /// - Parameter threads: What the CPU backend works on.
  package func profile(threads: Int) -> DeviceProfile {
    switch self {
    case .openCL(let device): DeviceProfile(device)
    case .cpu(let set, let identifier): DeviceProfile(set, identifier: identifier, threads: threads)
    case .reference:
      DeviceProfile(
        identifier: identifier, name: "CPU, float64 reference", deviceClass: .reference, computeUnits: threads)
    }
  }
}

extension Array where Element: Hashable {
  /// The elements without later repetitions.
  fileprivate func uniqued() -> [Element] {
    var seen: Set<Element> = []
    return filter { seen.insert($0).inserted }
  }
}
