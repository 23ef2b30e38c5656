/// One attention call, described and checked: everything that decides how it is computed, and none of its data.
///
/// A problem is a value. Planning is a function of it; the reference executes it as it stands.
public struct AttentionProblem: Sendable, Equatable {
  /// `B`, `Hq`, `Hkv`, `D`, `Dv`.
  public let batch: Int
  public let queryHeads: Int
  public let keyValueHeads: Int
  public let headDimension: Int
  public let valueDimension: Int

  /// The type of queries, keys, values and the output; over a cache, of queries and the output.
  public internal(set) var elementType: ElementType
  public let layout: TensorLayout

  public let scale: Float
  public let softcap: Float?
  public let outputs: AttentionOutputs
  /// `k`, the keys listed for each query where the most attended ones are asked for.
  public let topKeyCount: Int

  /// One a batch entry.
  public internal(set) var sequences: [AttentionSequence]

  /// `Lq` and `Lk` of the tensors, or of the longest sequence where sequences are packed.
  public let queryLength: Int
  public let keyLength: Int

  package let mask: MaskLayout?
  package let blockMask: BlockMaskLayout?
  package let usesALiBi: Bool
  package let usesSinks: Bool
  package let operands: OperandLayout
  package let outputShape: [Int]

  /// The (batch entry, query head) pairs: what work is divided by.
  public var headCount: Int { batch * queryHeads }

  /// Query heads that share a key/value head.
  public var groupSize: Int { queryHeads / keyValueHeads }

  /// Whether there are so few queries that reading the keys and values is what takes the time.
  package var isDecoding: Bool { (1...16).contains(queryLength) }

  /// The number of (query, key) pairs that are visible by position, over all heads. (A mask tensor or a block
  /// mask may hide more.)
  public var visiblePairs: Int { queryHeads * sequences.reduce(0) { $0 + $1.visiblePairs } }

  /// Multiplications and additions of both products over the visible pairs: `2 · (D + Dv)` each.
  public var floatingPointOperations: Double { 2 * Double(headDimension + valueDimension) * Double(visiblePairs) }

  /// The bytes of queries, keys, values and output, each counted once.
  public var operandBytes: Int {
    let queries = sequences.reduce(0) { $0 + $1.queryLength } * queryHeads
    let keys = sequences.reduce(0) { $0 + $1.keyLength } * keyValueHeads
    return (queries + keys) * (headDimension + valueDimension) * elementType.byteCount
  }

  /// The shape of weights and scores, and what a mask broadcasts to.
  package var scoreShape: [Int] { [batch, queryHeads, queryLength, keyLength] }

  /// The shape of the most attended keys and their weights.
  package var topKeyShape: [Int] { [batch, queryHeads, queryLength, topKeyCount] }

  /// The shape of the attention received.
  package var receivedShape: [Int] { [batch, queryHeads, keyLength] }

  /// The shape of the log-sum-exp.
  package var logSumExpShape: [Int] {
    layout == .thd ? [queryHeads, outputShape[0]] : [batch, queryHeads, queryLength]
  }

  /// Where query 0's log-sum-exp stands; the other queries' follow.
  package func logSumExpOffset(batch b: Int, head h: Int) -> Int {
    layout == .thd ? h * outputShape[0] + sequences[b].queryStart : (b * queryHeads + h) * queryLength
  }

  /// The rows of the queries of one head, in the query tensor.
  package func queryRun(batch b: Int, head h: Int) -> RowRun {
    run(operands.query, batch: b, head: h)
  }

  /// The rows of the output of one head, in the output tensor.
  package func outputRun(batch b: Int, head h: Int) -> RowRun {
    run(operands.output, batch: b, head: h)
  }

  private func run(_ rows: RowLayout, batch b: Int, head h: Int) -> RowRun {
    let sequence = sequences[b]
    return RowRun(
      offset: rows.offset(batch: b, head: h, row: sequence.queryStart), rowStride: rows.rowStride,
      rowCount: sequence.queryLength)
  }

  /// The rows of the keys of one key/value head, in order.
  package func keyRuns(batch b: Int, head g: Int) -> [RowRun] {
    operands.runs(own: operands.key, past: operands.pastKey, sequence: sequences[b], batch: b, head: g)
  }

  /// The rows of the values of one key/value head, in order.
  package func valueRuns(batch b: Int, head g: Int) -> [RowRun] {
    operands.runs(own: operands.value, past: operands.pastValue, sequence: sequences[b], batch: b, head: g)
  }
}

/// Where the rows of each operand lie.
package struct OperandLayout: Sendable, Equatable {
  package struct Paging: Sendable, Equatable {
    package let blockSize: Int
    package let blocksPerSequence: Int
    /// `[B, blocks per sequence]`; checked as far as the key lengths reach.
    package let table: [Int]
  }

  package var query: RowLayout
  package var key: RowLayout
  package var value: RowLayout
  package var output: RowLayout
  package var pastLength = 0
  package var pastKey: RowLayout?
  package var pastValue: RowLayout?
  package var paging: Paging?
  /// Bytes of the tensors that hold the keys and the values.
  package var keyBytes = 0
  package var valueBytes = 0

  /// The rows of a key/value head before the sequence's key length: pages, or past rows and then the call's own.
  func runs(own: RowLayout, past: RowLayout?, sequence: AttentionSequence, batch b: Int, head g: Int) -> [RowRun] {
    if let paging {
      return stride(from: 0, to: sequence.keyLength, by: paging.blockSize).map { row in
        let block = paging.table[b * paging.blocksPerSequence + row / paging.blockSize]
        return RowRun(
          offset: own.offset(batch: block, head: g, row: 0), rowStride: own.rowStride,
          rowCount: min(paging.blockSize, sequence.keyLength - row))
      }
    }
    var runs: [RowRun] = []
    let pastRows = min(pastLength, sequence.keyLength)
    if let past, pastRows > 0 {
      runs.append(
        RowRun(
          source: .past, offset: past.offset(batch: b, head: g, row: 0), rowStride: past.rowStride, rowCount: pastRows))
    }
    if sequence.keyLength > pastRows {
      runs.append(
        RowRun(
          offset: own.offset(batch: b, head: g, row: sequence.keyStart), rowStride: own.rowStride,
          rowCount: sequence.keyLength - pastRows))
    }
    return runs
  }
}
