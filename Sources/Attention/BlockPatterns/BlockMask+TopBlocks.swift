import Dispatch

extension BlockMask {
  /// For each head and block of queries, the blocks of keys that matter most by mean-pooled scores: as in Lu et al. 2025,
  /// [MoBA](https://arxiv.org/abs/2502.13189), and the selection of Yuan et al. 2025, [Native Sparse
  /// Attention](https://arxiv.org/abs/2502.11089).
  ///
  /// ```
  /// score[row][column] = scale · mean(query[i] for i in row) · mean(key[j] for j in column)
  /// ```
  ///
  /// Keys past a key length are in no mean. A block that the causal mask, the window or the key length hides wholly is
  /// not chosen; mask tensors, ALiBi and a block mask that the call already has play no part. Of equal scores the lower
  /// block is chosen first, NaN last. One block of queries chooses for all of its queries: under a causal mask its later
  /// queries have a say in what its earlier ones see, so to generate text query by query choose by `queryBlock: 1`.
  ///
  /// - Parameters:
  ///   - count: Blocks of keys for each block of queries, 1 or more; all where there are fewer.
  ///   - call: The call, of any layout, with past or paged keys.
  ///   - queryBlock: Queries of a block.
  ///   - keyBlock: Keys of a block.
  ///   - keepingOwn: Whether the blocks that hold the queries' own positions are chosen first, whatever their scores, as
  ///     in MoBA. They count towards `count`, and all are chosen where there are more.
  /// - Returns: A mask whose tensor is `[B, Hq, ceil(Lq / queryBlock), ceil(Lk / keyBlock)]`.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a call that does not fit together, a count below
  ///   1, or a block of nothing.
  public static func topBlocks(
    _ count: Int, of call: AttentionCall, queryBlock: Int = 64, keyBlock: Int = 64, keepingOwn: Bool = true
  ) throws -> BlockMask {
    try BlockGrid.check("count", [count], in: 1..<AttentionSequence.unlimited)
    let problem = try AttentionProblem(call)
    let whole = try BlockGrid(
      queryLength: problem.queryLength, keyLength: problem.keyLength, queryBlock: queryBlock, keyBlock: keyBlock)
    let visible = try Tensor(
      zeros: [problem.batch, problem.queryHeads, whole.rows, whole.columns], elementType: .bool)
    let choice = TopBlocks(count: count, keepingOwn: keepingOwn, call: call, problem: problem, grid: whole)
    DispatchQueue.concurrentPerform(iterations: problem.batch * problem.keyValueHeads) { group in
      choice.choose(batch: group / problem.keyValueHeads, keyHead: group % problem.keyValueHeads, into: visible)
    }
    return BlockMask(queryBlock: queryBlock, keyBlock: keyBlock, visible: visible)
  }
}

/// The choice of blocks for the heads of one call.
private struct TopBlocks: Sendable {
  let count: Int
  let keepingOwn: Bool
  let call: AttentionCall
  let problem: AttentionProblem
  let grid: BlockGrid

  /// Writes the planes of the query heads that share a key head.
  func choose(batch b: Int, keyHead g: Int, into visible: Tensor) {
    let sequence = problem.sequences[b]
    let keys = DoubleRows(
      problem.keyRuns(batch: b, head: g), width: problem.headDimension, own: call.key, past: call.past?.key)
    let keyMeans = means(of: keys, length: sequence.keyLength, block: grid.keyBlock)
    let bytes = visible.mutableBytes(from: 0)
    for h in g * problem.groupSize..<(g + 1) * problem.groupSize {
      let queries = DoubleRows(
        [problem.queryRun(batch: b, head: h)], width: problem.headDimension, own: call.query)
      let queryMeans = means(of: queries, length: sequence.queryLength, block: grid.queryBlock)
      for (row, query) in queryMeans.enumerated() {
        let first = ((b * problem.queryHeads + h) * grid.rows + row) * grid.columns
        for column in columns(sequence, row: row, query: query, keyMeans) { bytes[first + column] = 1 }
      }
    }
  }

  /// The chosen columns of one row.
  private func columns(
    _ sequence: AttentionSequence, row: Int, query: [Double], _ keyMeans: [[Double]]
  ) -> [Int] {
    let queries = row * grid.queryBlock..<min((row + 1) * grid.queryBlock, sequence.queryLength)
    let seen = sequence.visibleKeys(queries: queries)
    guard !seen.isEmpty else { return [] }
    let candidates = Array(seen.lowerBound / grid.keyBlock...(seen.upperBound - 1) / grid.keyBlock)
    let positions = queries.lowerBound + sequence.offset...queries.upperBound - 1 + sequence.offset
    let own = grid.columns(of: positions)
    let scores = candidates.map { column -> Double in
      if keepingOwn && own.contains(column) { return .infinity }
      let score = Double(problem.scale) * zip(query, keyMeans[column]).reduce(0) { $0 + $1.0 * $1.1 }
      // Infinity is for the row's own blocks.
      return score.isNaN ? -.infinity : min(score, .greatestFiniteMagnitude)
    }
    let order = candidates.indices.sorted { (scores[$0], $1) > (scores[$1], $0) }
    let kept = keepingOwn ? candidates.count(where: own.contains) : 0
    return order.prefix(max(count, kept)).map { candidates[$0] }
  }

  private func means(of rows: DoubleRows, length: Int, block: Int) -> [[Double]] {
    stride(from: 0, to: length, by: block).map { rows.mean(of: $0..<min($0 + block, length)) }
  }
}
