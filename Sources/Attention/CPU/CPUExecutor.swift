import CAttention

/// Carries out a ``CPUPlan``: divides each block of heads into tasks for the threads. What a task computes does not depend
/// on which thread runs it nor on how many there are.
///
/// ```
///   fused    keys and values of each key head packed, tile by tile  ─►  a tile of queries of a head a task
///            or, where few keys are packed twice by that: a part of the queries, with its keys, a task (CPUPart)
///   decode   a split of the keys of a key head a task               ─►  the splits of a head merged in order
///   then, where scores, weights or lists are asked for: a tile of queries a task; what keys receive: a tile of keys a task
/// ```
final class CPUExecutor: Sendable {
  private let threads: Threads
  private let scratch = ScratchMemory()

  init(_ threads: Threads) { self.threads = threads }

  /// Products below which waking a thread takes longer than it helps.
  private static let productsWorthThreads = 300_000.0

  /// - Parameter progress: Called with the number of heads finished since the last call.
  func run(
    _ operands: CPUOperands, _ problem: AttentionProblem, _ plan: CPUPlan, into results: ResultBuffers,
    progress: (Int) -> Void = { _ in }
  ) throws {
    guard let kernels = plan.instructionSet.kernels else {
      throw AttentionError.cannotRun(device: "cpu", reason: "this processor has no \(plan.instructionSet.rawValue)")
    }
    for block in plan.blocks {
      let heads = CPUHeads(operands, problem, heads: block.heads, tileKeys: plan.tileKeys, into: results)
      defer { heads.release() }
      let pass = CPUPass(
        kernels.pointee, attention_call(problem, operands.rows), problem.outputs, heads,
        threads: threads(for: block, of: problem), scratch)
      switch block.pass {
      case .fused:
        if let keys = plan.partKeys { try pass.attendInParts(of: problem, mostKeys: keys) } else { try pass.attend() }
      case .decode:
        try pass.decode()
        // Lists and weights are computed from the scores of packed keys, and so are the maxima that they need.
        if problem.outputs.needsRows { try pass.attend(writingOutput: false) }
      }
      progress(block.heads.count)
    }
  }

  private func threads(for block: CPUPlan.Block, of problem: AttentionProblem) -> Threads {
    var products = 0.0
    for group in problem.groups(of: block.heads) where products < Self.productsWorthThreads {
      let sequence = problem.sequences[group.batch]
      products +=
        Double(group.heads.count * (problem.headDimension + problem.valueDimension))
        * Double(sequence.queryLength) * Double(sequence.packedKeys(tile: 1).count)
    }
    return products < Self.productsWorthThreads ? .alone : threads
  }
}
