import CAttention

/// Some neighbouring heads of a call as the C kernels see them: where their rows lie and where their results go. It must be
/// released, and outlives neither the call's tensors nor the results.
struct CPUHeads {
  let groups: [HeadGroup]
  /// One a group.
  let keyHeads: UnsafeMutableBufferPointer<attention_key_value_head>
  /// One a query head; those of a group are neighbours.
  let heads: UnsafeMutableBufferPointer<attention_head>
  private let rows: UnsafeMutableBufferPointer<attention_rows>

  init(
    _ call: AttentionCall, _ problem: AttentionProblem, heads range: Range<Int>, tileKeys: Int,
    into results: ResultBuffers
  ) {
    groups = problem.groups(of: range)
    let runs = groups.map { group in
      zip(
        problem.keyRuns(batch: group.batch, head: group.keyHead),
        problem.valueRuns(batch: group.batch, head: group.keyHead))
    }
    rows = .allocate(capacity: runs.reduce(0) { $0 + $1.underestimatedCount })
    keyHeads = .allocate(capacity: groups.count)
    heads = .allocate(capacity: range.count)
    let size = problem.elementType.byteCount
    let operands = Operands(call)

    var nextRow = 0
    for (index, (group, runs)) in zip(groups, runs).enumerated() {
      let sequence = problem.sequences[group.batch]
      let first = nextRow
      var key = 0
      for (keyRun, valueRun) in runs {
        let source = keyRun.source == .past ? operands.past : operands.own
        rows.initializeElement(
          at: nextRow,
          to: attention_rows(
            key: source.key + keyRun.offset * size, value: source.value + valueRun.offset * size,
            key_stride: keyRun.rowStride * size, value_stride: valueRun.rowStride * size, first: Int32(key),
            count: Int32(keyRun.rowCount)))
        nextRow += 1
        key += keyRun.rowCount
      }
      let packed = sequence.packedKeys(tile: tileKeys)
      var keys = attention_key_value_head()
      keys.rows = rows.baseAddress.map { UnsafePointer($0 + first) }
      keys.row_count = Int32(nextRow - first)
      keys.key_length = Int32(sequence.keyLength)
      keys.first_key = Int32(packed.lowerBound)
      keys.end_key = Int32(packed.upperBound)
      keyHeads.initializeElement(at: index, to: keys)
      for head in group.heads {
        heads.initializeElement(
          at: head - range.lowerBound,
          to: Self.head(
            problem, call, operands, batch: group.batch, head: head % problem.queryHeads,
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

  /// The first bytes of the call's tensors.
  private struct Operands {
    typealias Pair = (key: UnsafePointer<CChar>, value: UnsafePointer<CChar>)
    let query: UnsafePointer<CChar>
    let own: Pair
    let past: Pair
    let mask, blocks: UnsafePointer<UInt8>?

    init(_ call: AttentionCall) {
      func bytes(_ tensor: Tensor) -> UnsafePointer<CChar> {
        UnsafePointer(tensor.storage.base.assumingMemoryBound(to: CChar.self))
      }
      query = bytes(call.query)
      own = (bytes(call.key), bytes(call.value))
      past = call.past.map { (bytes($0.key), bytes($0.value)) } ?? own
      mask = call.mask.tensor.map { UnsafePointer($0.storage.base.assumingMemoryBound(to: UInt8.self)) }
      blocks = call.mask.blocks.map { UnsafePointer($0.visible.storage.base.assumingMemoryBound(to: UInt8.self)) }
    }
  }

  private static func head(
    _ problem: AttentionProblem, _ call: AttentionCall, _ operands: Operands, batch b: Int, head h: Int,
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
    head.slope = call.alibiSlopes?[h] ?? 0
    head.sink = call.sinks?[h] ?? 0
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
