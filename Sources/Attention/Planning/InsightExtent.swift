/// What the most attended keys and the attention received of some heads take on a device: a list for each query of the
/// longest head and a sum for each key of the longest, of every head, and what both have of each row.
struct InsightExtent {
  private let topKeyCount: Int?
  private let sumsKeys: Bool
  private let termTileRows: Int?
  private(set) var heads = 0
  private(set) var queryLength = 0
  private(set) var keyLength = 0

  /// No heads yet. Results that the problem does not ask for take nothing.
  ///
  /// - Parameter tiles: Those of the kernels of both; nil where neither is asked for.
  init(_ problem: AttentionProblem, tiles: StagedTiles?) {
    topKeyCount = problem.outputs.contains(.topKeys) ? problem.topKeyCount : nil
    sumsKeys = problem.outputs.contains(.received)
    termTileRows = tiles?.tileRows
  }

  /// Some heads of a problem, `b · Hq + h`.
  init(_ problem: AttentionProblem, heads: Range<Int>, tiles: StagedTiles?) {
    self.init(problem, tiles: tiles)
    for head in heads { add(problem.sequences[head / problem.queryHeads]) }
  }

  mutating func add(_ sequence: AttentionSequence) {
    heads += 1
    queryLength = max(queryLength, sequence.queryLength)
    keyLength = max(keyLength, sequence.keyLength)
  }

  /// Bytes of the keys of all lists; their weights take as many.
  var listBytes: Int { topKeyCount.map { heads * queryLength * $0 * 4 } ?? 0 }
  /// Bytes of the sums.
  var receivedBytes: Int { sumsKeys ? heads * keyLength * 4 : 0 }
  /// Bytes of the terms, shift and factor, of all rows of whole tiles.
  var termBytes: Int { termTileRows.map { heads * roundedUp(queryLength, to: $0) * 8 } ?? 0 }

  var byteCount: Int { 2 * listBytes + receivedBytes + termBytes }
  var largestBuffer: Int { max(listBytes, receivedBytes, termBytes) }
}
