import CAttention

/// Some neighbouring heads of a call as the C kernels see them: where their rows lie and where their results go. It must be
/// released, and outlives neither the operands nor the results.
struct CPUHeads {
  let groups: [HeadGroup]
  /// One a group.
  let keyHeads: UnsafeMutableBufferPointer<attention_key_value_head>
  /// One a query head; those of a group are neighbours.
  let heads: UnsafeMutableBufferPointer<attention_head>
  private let rows: UnsafeMutableBufferPointer<attention_rows>

  init(
    _ operands: CPUOperands, _ problem: AttentionProblem, heads range: Range<Int>, tileKeys: Int,
    into results: ResultBuffers
  ) {
    groups = problem.groups(of: range)
    var stretches: [attention_rows] = []
    var ends: [Int] = []
    for group in groups {
      operands.rows.append(group.batch, group.keyHead, &stretches)
      ends.append(stretches.count)
    }
    rows = .allocate(capacity: stretches.count)
    _ = rows.initialize(from: stretches)
    keyHeads = .allocate(capacity: groups.count)
    heads = .allocate(capacity: range.count)
    for (index, group) in groups.enumerated() {
      let sequence = problem.sequences[group.batch]
      let first = index == 0 ? 0 : ends[index - 1]
      let packed = sequence.packedKeys(tile: tileKeys)
      var keys = attention_key_value_head()
      keys.rows = rows.baseAddress.map { UnsafePointer($0 + first) }
      keys.row_count = Int32(ends[index] - first)
      keys.key_length = Int32(sequence.keyLength)
      keys.first_key = Int32(packed.lowerBound)
      keys.end_key = Int32(packed.upperBound)
      keyHeads.initializeElement(at: index, to: keys)
      for head in group.heads {
        heads.initializeElement(
          at: head - range.lowerBound,
          to: Self.head(
            problem, operands, batch: group.batch, head: head % problem.queryHeads,
            keys: keyHeads.baseAddress.map { UnsafePointer($0 + index) }, into: results))
      }
    }
  }

  /// A group's first query head, counted from the block's first.
  func firstHead(of group: Int) -> Int { groups[group].heads.lowerBound - groups[0].heads.lowerBound }

  /// The number of queries, which a group's heads share.
  func queryLength(of group: Int) -> Int { Int(heads[firstHead(of: group)].query_length) }

  func release() {
    rows.deallocate()
    keyHeads.deallocate()
    heads.deallocate()
  }

  private static func head(
    _ problem: AttentionProblem, _ operands: CPUOperands, batch b: Int, head h: Int,
    keys: UnsafePointer<attention_key_value_head>?, into results: ResultBuffers
  ) -> attention_head {
    let sequence = problem.sequences[b]
    let size = problem.elementType.byteCount
    let query = problem.queryRun(batch: b, head: h)
    var head = attention_head()
    head.keys = keys
    head.query = operands.query + query.offset * size
    head.query_stride = query.rowStride * size
    head.query_length = Int32(sequence.queryLength)
    head.first_shift = Int32(sequence.firstShift)
    head.end_shift = Int32(sequence.endShift)
    head.offset = Int32(sequence.offset)
    head.slope = operands.alibiSlopes?[h] ?? 0
    head.sink = operands.sinks?[h] ?? 0
    if let mask = problem.mask {
      head.mask = operands.mask.map { $0 + mask.offset(batch: b, head: h) * mask.elementType.byteCount }
    }
    if let mask = problem.blockMask { head.blocks = operands.blocks.map { $0 + mask.grid.offset(batch: b, head: h) } }

    let output = problem.outputRun(batch: b, head: h)
    head.output = results.output.map { $0.storage.base.assumingMemoryBound(to: CChar.self) + output.offset * size }
    head.output_stride = output.rowStride * size
    func floats(_ tensor: Tensor?, from first: Int) -> UnsafeMutablePointer<Float>? {
      tensor.map { $0.storage.base.assumingMemoryBound(to: Float.self) + first }
    }
    let row = (b * problem.queryHeads + h) * problem.queryLength
    head.log_sum_exp = floats(results.logSumExp, from: problem.logSumExpOffset(batch: b, head: h))
    head.scores = floats(results.scores, from: row * problem.keyLength)
    head.weights = floats(results.weights, from: row * problem.keyLength)
    head.score_stride = problem.keyLength
    head.top_keys = results.topKeys.map {
      $0.storage.base.assumingMemoryBound(to: Int32.self) + row * problem.topKeyCount
    }
    head.top_weights = floats(results.topWeights, from: row * problem.topKeyCount)
    head.received = floats(results.received, from: (b * problem.queryHeads + h) * problem.keyLength)
    return head
  }
}

extension attention_key_value_head {
  /// Keys that are packed, or split.
  var packedCount: Int { Int(end_key - first_key) }
}
