import Dispatch

/// Attention as it is defined, in float64, one query at a time: the oracle that every kernel is held to, and the device
/// that is always there. It shares no arithmetic with the kernels.
///
/// ```
/// for each batch entry b and query head h, with g = h / (Hq / Hkv):
///   for each query i at position p = i + offset:
///     for each visible key j:
///       s[j] = scale · Σ_d query[i][d] · key[j][d]
///       s[j] = softcap · tanh(s[j] / softcap)
///       s[j] = s[j] − slope · |p − j| + mask[i][j]
///     l       = Σ_j exp(s[j]) + exp(sink)
///     P[j]    = exp(s[j]) / l
///     out[i]  = Σ_j P[j] · value[j]
///     lse[i]  = ln l
///     top[i]  = the k keys of largest s
///   received[j] = Σ_i P[i][j]
/// ```
package enum ReferenceAttention {
  /// Queries that share one conversion of a head's keys and values.
  private static let queriesPerTask = 256

  /// Computes the heads of a range (`b · Hq + h`) and writes what the problem asks for.
  ///
  /// - Parameter progress: Called with the number of heads finished since the last call, from any thread.
  package static func compute(
    _ call: AttentionCall, _ problem: AttentionProblem, heads: Range<Int>, into results: ResultBuffers,
    progress: @Sendable (Int) -> Void = { _ in }
  ) {
    // What a key receives comes from every query: one task adds them up in order.
    let queriesPerTask = results.received == nil ? queriesPerTask : max(1, problem.queryLength)
    let tasksPerHead = max(1, problem.queryLength.tiles(of: queriesPerTask))
    DispatchQueue.concurrentPerform(iterations: heads.count * tasksPerHead) { task in
      let index = heads.lowerBound + task / tasksPerHead
      let (b, h) = (index / problem.queryHeads, index % problem.queryHeads)
      let first = task % tasksPerHead * queriesPerTask
      let queries = first..<max(first, min(first + queriesPerTask, problem.sequences[b].queryLength))
      if !queries.isEmpty {
        let head = ReferenceHead(call, problem, batch: b, head: h)
        var received = [Double](repeating: 0, count: results.received == nil ? 0 : problem.keyLength)
        for i in queries {
          let row = head.attend(query: i)
          results.store(row, problem, batch: b, head: h, query: i)
          if !received.isEmpty { row.add(to: &received) }
        }
        results.store(received: received, at: index * problem.keyLength)
      }
      if task % tasksPerHead == tasksPerHead - 1 { progress(1) }
    }
  }
}

/// What one query of one head comes to.
package struct ReferenceRow: Sendable {
  /// The visible keys, and their scores and weights.
  package var keys: [Int] = []
  package var scores: [Double] = []
  package var weights: [Double] = []
  package var output: [Double]
  package var logSumExp: Double

  /// Adds each key's weight to what it has received.
  func add(to received: inout [Double]) {
    for (j, weight) in zip(keys, weights) { received[j] += weight }
  }

  /// The `k` keys of the largest scores and their weights, by the weights as float32, equal ones by their keys.
  func topKeys(_ k: Int) -> [(key: Int, weight: Float)] {
    // Every weight of a row that has a NaN is one: its keys are all alike.
    let isPoisoned = weights.contains(where: \.isNaN)
    let order = isPoisoned ? Array(keys.indices) : keys.indices.sorted { (scores[$1], $0) < (scores[$0], $1) }
    let chosen = order.prefix(k).map { (key: keys[$0], weight: Float(weights[$0])) }
    return isPoisoned ? chosen : chosen.sorted { ($1.weight, $0.key) < ($0.weight, $1.key) }
  }
}

/// One head of a call in float64, ready to answer for any of its queries.
package struct ReferenceHead {
  private let problem: AttentionProblem
  private let sequence: AttentionSequence
  private let queries: DoubleRows
  private let keys: DoubleRows
  private let values: DoubleRows
  private let mask: MaskReader?
  private let blocks: BlockMaskReader?
  private let slope: Double
  private let sink: Double?

  package init(_ call: AttentionCall, _ problem: AttentionProblem, batch b: Int, head h: Int) {
    let g = h / problem.groupSize
    self.problem = problem
    sequence = problem.sequences[b]
    queries = DoubleRows([problem.queryRun(batch: b, head: h)], width: problem.headDimension, own: call.query)
    keys = DoubleRows(
      problem.keyRuns(batch: b, head: g), width: problem.headDimension, own: call.key, past: call.past?.key)
    values = DoubleRows(
      problem.valueRuns(batch: b, head: g), width: problem.valueDimension, own: call.value, past: call.past?.value)
    mask = MaskReader(call.mask.tensor, problem.mask, batch: b, head: h)
    blocks = BlockMaskReader(call.mask.blocks, problem.blockMask, batch: b, head: h)
    slope = Double(call.alibiSlopes?[h] ?? 0)
    sink = call.sinks.map { Double($0[h]) }
  }

  package func attend(query i: Int) -> ReferenceRow {
    var row = ReferenceRow(output: Array(repeating: 0, count: problem.valueDimension), logSumExp: -.infinity)
    for j in sequence.visibleKeys(query: i) where blocks?.isVisible(query: i, key: j) ?? true {
      let bias = mask?.bias(query: i, key: j) ?? 0
      if bias == -.infinity { continue }
      row.keys.append(j)
      row.scores.append(score(query: i, key: j) + bias)
    }
    // A query that sees no key gives zeros, with or without a sink.
    guard !row.keys.isEmpty else { return row }

    // Subtracting the largest score changes no quotient and keeps exp within range.
    var largest = row.scores.reduce(sink ?? -.infinity) { $0 > $1 || $0.isNaN ? $0 : $1 }
    if largest == -.infinity { largest = 0 }
    let terms = row.scores.map { exponential($0 - largest) }
    let denominator = terms.reduce(sink.map { exponential($0 - largest) } ?? 0, +)
    row.weights = terms.map { $0 / denominator }
    row.logSumExp = largest == .infinity ? .infinity : largest + logarithm(denominator)
    for (j, weight) in zip(row.keys, row.weights) { values.add(weight, row: j, to: &row.output) }
    return row
  }

  private func score(query i: Int, key j: Int) -> Double {
    var s = Double(problem.scale) * queries.dot(row: i, keys, row: j)
    if let softcap = problem.softcap.map(Double.init) { s = softcap * hyperbolicTangent(s / softcap) }
    if slope != 0 { s -= slope * Double(abs(i + sequence.offset - j)) }
    return s
  }
}

extension ResultBuffers {
  /// Writes one query's results where the problem wants them.
  fileprivate func store(_ row: ReferenceRow, _ problem: AttentionProblem, batch b: Int, head h: Int, query i: Int) {
    if let output {
      let run = problem.outputRun(batch: b, head: h)
      Tensor.store(
        row.output.map(Float.init), to: output.mutableBytes(from: run.offset + i * run.rowStride),
        as: problem.elementType)
    }
    logSumExp?.mutableElements(of: Float.self)[problem.logSumExpOffset(batch: b, head: h) + i] = Float(row.logSumExp)
    let first = ((b * problem.queryHeads + h) * problem.queryLength + i) * problem.keyLength
    if let weights = weights?.mutableElements(of: Float.self) {
      for (j, weight) in zip(row.keys, row.weights) { weights[first + j] = Float(weight) }
    }
    if let scores = scores?.mutableElements(of: Float.self) {
      for (j, score) in zip(row.keys, row.scores) { scores[first + j] = Float(score) }
    }
    if let keys = topKeys?.mutableElements(of: Int32.self), let weights = topWeights?.mutableElements(of: Float.self) {
      let first = ((b * problem.queryHeads + h) * problem.queryLength + i) * problem.topKeyCount
      for (n, top) in row.topKeys(problem.topKeyCount).enumerated() {
        keys[first + n] = Int32(top.key)
        weights[first + n] = top.weight
      }
    }
  }

  /// Writes what the keys of one head receive, where the problem wants it.
  fileprivate func store(received sums: [Double], at first: Int) {
    guard let received = received?.mutableElements(of: Float.self) else { return }
    for (j, sum) in sums.enumerated() { received[first + j] = Float(sum) }
  }
}
