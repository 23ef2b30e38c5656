import Attention

/// Attention as a plain program in the storage type computes it: every product, score, weight and output is rounded to
/// the type, and sums are kept in float32. Its error is what the bound on a device's error is made of.
package enum NaiveAttention {
  /// The output, in the layout of the call.
  ///
  /// - Parameter scores: The scores of the call, for what is hidden: a score of −∞.
  package static func output(of call: AttentionCall, scores: Tensor?) throws -> [Float] {
    let problem = try AttentionProblem(call)
    let operands = Operands(call)
    let visible = scores?.floats() ?? []
    var output = [Float](repeating: 0, count: problem.outputShape.reduce(1, *))
    for head in 0..<problem.headCount {
      let (b, h) = (head / problem.queryHeads, head % problem.queryHeads)
      let rows = Head(problem, operands, batch: b, head: h)
      let target = problem.outputRun(batch: b, head: h)
      for i in 0..<target.rowCount {
        let first = (head * problem.queryLength + i) * problem.keyLength
        let row = rows.attend(i, hidden: { visible[first + $0] == -.infinity })
        let start = target.offset + i * target.rowStride
        output.replaceSubrange(start..<start + row.count, with: row)
      }
    }
    return output
  }

  /// The call's numbers, converted once.
  private struct Operands {
    let call: AttentionCall
    let query, key, value: [Float]
    let pastKey, pastValue: [Float]
    let mask: [Float]

    init(_ call: AttentionCall) {
      self.call = call
      query = call.query.floats()
      key = call.key.floats()
      value = call.value.floats()
      pastKey = call.past?.key.floats() ?? []
      pastValue = call.past?.value.floats() ?? []
      mask = call.mask.tensor?.floats() ?? []
    }
  }

  private struct Head {
    private let problem: AttentionProblem
    private let operands: Operands
    private let b, h: Int
    private let queries, keys, values: [ArraySlice<Float>]

    init(_ problem: AttentionProblem, _ operands: Operands, batch b: Int, head h: Int) {
      let g = h / problem.groupSize
      self.problem = problem
      self.operands = operands
      (self.b, self.h) = (b, h)
      queries = Self.rows([problem.queryRun(batch: b, head: h)], problem.headDimension, operands.query, past: [])
      keys = Self.rows(
        problem.keyRuns(batch: b, head: g), problem.headDimension, operands.key, past: operands.pastKey)
      values = Self.rows(
        problem.valueRuns(batch: b, head: g), problem.valueDimension, operands.value, past: operands.pastValue)
    }

    private static func rows(
      _ runs: [RowRun], _ width: Int, _ own: [Float], past: [Float]
    ) -> [ArraySlice<Float>] {
      runs.flatMap { run in
        (0..<run.rowCount).map { row in
          let start = run.offset + row * run.rowStride
          return (run.source == .past ? past : own)[start..<start + width]
        }
      }
    }

    func attend(_ i: Int, hidden: (Int) -> Bool) -> [Float] {
      let keys = keys.indices.filter { !hidden($0) }
      var output = [Float](repeating: 0, count: problem.valueDimension)
      guard !keys.isEmpty else { return output }
      let scores = keys.map { score(i, $0) }
      let sink = operands.call.sinks.map { $0[h] }
      let largest = max(scores.max() ?? 0, sink ?? -.infinity)
      let terms = scores.map { exponential($0 - largest) }
      let sum = terms.reduce(sink.map { exponential($0 - largest) } ?? 0, +)
      for (j, term) in zip(keys, terms) {
        let weight = round(term / sum)
        for (n, value) in values[j].enumerated() { output[n] += weight * value }
      }
      return output.map(round)
    }

    private func score(_ i: Int, _ j: Int) -> Float {
      let dot = zip(queries[i], keys[j]).reduce(Float(0)) { $0 + $1.0 * $1.1 }
      var s = round(round(dot) * problem.scale)
      if let softcap = problem.softcap { s = round(softcap * hyperbolicTangent(round(s / softcap))) }
      if let slopes = operands.call.alibiSlopes {
        s = round(s - round(slopes[h] * Float(abs(i + problem.sequences[b].offset - j))))
      }
      if let mask = problem.mask, mask.elementType != .bool {
        s = round(
          s + operands.mask[mask.offset(batch: b, head: h) + i * mask.queryStride + j * mask.keyStride])
      }
      return s
    }

    /// The nearest number of the storage type.
    private func round(_ x: Float) -> Float {
      switch problem.elementType {
      case .float16: HalfPrecision.float(fromHalf: HalfPrecision.half(from: x))
      case .bfloat16: HalfPrecision.float(fromBrain: HalfPrecision.brain(from: x))
      case .float32, .float64, .int32, .int64, .bool: x
      }
    }
  }
}
