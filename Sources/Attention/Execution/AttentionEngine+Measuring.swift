import Synchronization

extension AttentionEngine {
  /// Times a call on the engine's devices, with its operands there: the plan, its result, and the kernels' seconds for each
  /// repetition.
  package func measure(
    _ call: AttentionCall, repetitions: Int
  ) throws -> (plan: AttentionPlan, result: AttentionResult, kernelSeconds: [Double], peakBytes: Int) {
    try roster.perform(try AttentionProblem(call), kernel, overlappingTransfers: false) { plan in
      for part in plan.parts { try self.roster.executor(part.device)?.resetPeak() }
      let measured = try self.measure(call, following: plan, repetitions: repetitions)
      let peak = try plan.parts.map { part in
        if case .cpu(let plan) = part.work { return plan.scratchBytes }
        return try self.roster.executor(part.device)?.peakBytes ?? 0
      }.reduce(0, +)
      return (plan, measured.result, measured.kernelSeconds, peak)
    }
  }

  /// The same for a plan that was made elsewhere.
  package func measure(
    _ call: AttentionCall, following plan: AttentionPlan, repetitions: Int
  ) throws -> (result: AttentionResult, kernelSeconds: [Double]) {
    let problem = try AttentionProblem(call)
    let results = try ResultBuffers(problem)
    let seconds = Mutex(Array(repeating: 0.0, count: repetitions))
    try Self.concurrently(plan.parts) { part in
      let own: [Double]
      switch part.work {
      case .kernels(let kernels):
        guard let executor = try self.roster.executor(part.device) else { return }
        own = try executor.measure(call, problem, kernels, into: results, repetitions: repetitions)
      case .cpu(let plan):
        own = try Self.times(repetitions) { try self.cpu.run(CPUOperands(call, problem), problem, plan, into: results) }
      case .reference:
        own = Self.times(repetitions) {
          ReferenceAttention.compute(call, problem, heads: part.heads, into: results)
        }
      }
      // Devices work side by side: the slowest decides.
      seconds.withLock { $0 = zip($0, own).map(max) }
    }
    return (results.result, seconds.withLock { $0 })
  }

  /// The seconds that each run of `body` takes.
  private static func times(_ repetitions: Int, _ body: () throws -> Void) rethrows -> [Double] {
    try (0..<repetitions).map { _ in
      let start = ContinuousClock.now
      try body()
      return (ContinuousClock.now - start) / .seconds(1)
    }
  }

  /// What a call costs above its kernels, in seconds for each repetition, with its operands on the device; nil for one
  /// that is not one block on one OpenCL device.
  package func callOverhead(_ call: AttentionCall, repetitions: Int) throws -> [Double]? {
    let problem = try AttentionProblem(call)
    return try roster.perform(problem, kernel) { plan in
      guard plan.parts.count == 1, let part = plan.parts.first, case .kernels(let kernels) = part.work,
        kernels.blocks.count == 1, let executor = try self.roster.executor(part.device)
      else { return nil }
      return try executor.measureOverhead(
        call, problem, kernels, into: try ResultBuffers(problem), repetitions: repetitions
      ) { problem in
        let again = try AttentionPlan(problem, devices: [part.device], kernel: self.kernel)
        guard case .kernels(let kernels)? = again.parts.first?.work else { return nil }
        return kernels
      }
    }
  }
}
