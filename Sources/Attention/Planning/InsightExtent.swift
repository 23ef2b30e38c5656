/// What the most attended keys and the attention received of some heads take on a device: a list for each query of the
/// longest head and a sum for each key of the longest, of every head.
struct InsightExtent {
  private let topKeyCount: Int?
  private let sumsKeys: Bool
  private(set) var heads = 0
  private(set) var queryLength = 0
  private(set) var keyLength = 0

  /// No heads yet. Results that the problem does not ask for take nothing.
  init(_ problem: AttentionProblem) {
    topKeyCount = problem.outputs.contains(.topKeys) ? problem.topKeyCount : nil
    sumsKeys = problem.outputs.contains(.received)
  }

  /// Some heads of a problem, `b · Hq + h`.
  init(_ problem: AttentionProblem, heads: Range<Int>) {
    self.init(problem)
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

  var byteCount: Int { 2 * listBytes + receivedBytes }
  var largestBuffer: Int { max(listBytes, receivedBytes) }
}
