import Attention

/// A plan in words.
struct PlanText {
  private let shape: Shape
  private let problem: AttentionProblem
  private let plan: AttentionPlan

  init(_ shape: Shape, _ problem: AttentionProblem, _ plan: AttentionPlan) {
    self.shape = shape
    self.problem = problem
    self.plan = plan
  }

  var text: String {
    let sum =
      "\(shape.title): \(Quantity.count(problem.visiblePairs, "visible pair")), "
      + "\(Quantity.operations(problem.floatingPointOperations)), "
      + "operands and results \(Quantity.bytes(problem.callBytes))"
    return ([sum] + plan.parts.flatMap(lines)).joined(separator: "\n")
  }

  private func lines(_ part: AttentionPlan.Part) -> [String] {
    let device = "  \(part.device.identifier) (\(part.device.name)): \(part.heads.text)"
    return switch part.work {
    case .reference: [device, "    reference: float64, one query at a time"]
    case .cpu(let plan): [device] + lines(plan, part)
    case .kernels(let plan): [device] + lines(plan, part)
    }
  }

  private func lines(_ plan: CPUPlan, _ part: AttentionPlan.Part) -> [String] {
    [
      "\(plan.kernelName): \(plan.instructionSet.rawValue), tiles \(plan.tileRows)×\(plan.tileKeys)",
      KeySplit.of(part, problem).text,
      "\(Quantity.count(plan.threads, "thread")), memory beside the tensors at most \(Quantity.bytes(plan.scratchBytes)), "
        + "in \(Quantity.count(plan.blocks.count, "block"))",
    ].compactMap(\.self).map { "    " + $0 }
  }

  private func lines(_ plan: DevicePlan, _ part: AttentionPlan.Part) -> [String] {
    let lines = [
      "\(plan.tiles.kernel.rawValue): tiles \(plan.tiles)\(plan.aligned ? ", aligned" : ""), "
        + (plan.tilesAreTuned ? "tuned" : "from the table"),
      KeySplit.of(part, problem).text,
      "device memory at most \(Quantity.bytes(plan.peakBytes)), in \(Quantity.count(plan.blocks.count, "block")):",
    ].compactMap(\.self)
    let blocks = Self.runs(of: plan.blocks).map { block, count in
      "  \(count) × \(Quantity.count(block.heads.count, "head")), \(Quantity.count(block.slices.count, "slice")) of "
        + "\(Quantity.count(block.sliceRows, "query", "queries")), operands \(Quantity.bytes(block.operandBytes)), "
        + "scratch \(Quantity.bytes(block.scratchBytes))"
    }
    return (lines + blocks).map { "    " + $0 }
  }

  /// Neighbouring blocks that differ only in which heads they are.
  private static func runs(of blocks: [DevicePlan.Block]) -> [(DevicePlan.Block, Int)] {
    var runs: [(DevicePlan.Block, Int)] = []
    for block in blocks {
      if let (last, count) = runs.last, last.heads.count == block.heads.count, last.sliceRows == block.sliceRows,
        last.scoreStride == block.scoreStride
      {
        runs[runs.count - 1].1 = count + 1
      } else {
        runs.append((block, 1))
      }
    }
    return runs
  }
}

extension AttentionProblem {
  /// The bytes of queries, keys and values and of the results that are asked for. (Not as an integer: each size fits one, their
  /// sum need not.)
  var callBytes: Double {
    func elements(_ shape: [Int]) -> Double { shape.reduce(1) { $0 * Double($1) } }
    let width = Double(elementType.byteCount)
    let queries = Double(queryHeads) * sequences.reduce(0) { $0 + Double($1.queryLength) }
    let keys = Double(keyValueHeads) * sequences.reduce(0) { $0 + Double($1.keyLength) }
    let sizes: [(result: AttentionOutputs, bytes: Double)] = [
      (.output, queries * Double(valueDimension) * width), (.logSumExp, queries * 4),
      (.weights, elements(scoreShape) * 4),
      (.scores, elements(scoreShape) * 4), (.topKeys, elements(topKeyShape) * 8),
      (.received, elements(receivedShape) * 4),
    ]
    let operands = (queries * Double(headDimension) + keys * Double(headDimension + valueDimension)) * width
    return operands + sizes.reduce(0) { $0 + (outputs.contains($1.result) ? $1.bytes : 0) }
  }
}

extension Range<Int> {
  fileprivate var text: String {
    count == 1 ? "head \(lowerBound)" : isEmpty ? "no heads" : "heads \(lowerBound) to \(upperBound - 1)"
  }
}
