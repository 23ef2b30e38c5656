/// Rows of the float64 result to hold a device's to: all of them, or for large shapes a sample.
package struct SampledTruth {
  private struct Sample {
    let offset: Int
    let output: [Double]
  }

  private let samples: [Sample]
  private let relativeBound: Double

  /// Pairs of queries and keys that the reference does in about a second.
  private static let pairsAtOnce = 4_000_000
  private static let sampledHeads = 4
  private static let sampledRows = 8

  /// - Parameter elementType: What the device rounds its output to.
  package init(_ call: AttentionCall, _ problem: AttentionProblem, roundedTo elementType: ElementType) {
    relativeBound = 2 * elementType.unitRoundoff
    let whole = problem.headCount * problem.queryLength * problem.keyLength <= Self.pairsAtOnce
    let heads = whole ? Array(0..<problem.headCount) : Self.spread(Self.sampledHeads, over: problem.headCount)
    let rows = whole ? Array(0..<problem.queryLength) : Self.spread(Self.sampledRows, over: problem.queryLength)
    samples = heads.flatMap { head in
      let (b, h) = (head / problem.queryHeads, head % problem.queryHeads)
      let reference = ReferenceHead(call, problem, batch: b, head: h)
      let run = problem.outputRun(batch: b, head: h)
      return rows.map { i in
        Sample(offset: run.offset + i * run.rowStride, output: reference.attend(query: i).output)
      }
    }
  }

  /// First, last and between, at equal distances.
  private static func spread(_ count: Int, over total: Int) -> [Int] {
    guard total > count else { return Array(0..<total) }
    return (0..<count).map { $0 * (total - 1) / (count - 1) }
  }

  /// The largest error, and whether each is within its bound: the rounding of the element type, twice, plus 1e-5.
  package func compare(_ result: AttentionResult) -> (largest: Double, isRight: Bool) {
    guard let output = result.output else { return (.infinity, false) }
    let found = output.floats()
    var largest = 0.0
    var isRight = true
    for sample in samples {
      for (n, expected) in sample.output.enumerated() {
        let error = abs(Double(found[sample.offset + n]) - expected)
        largest = max(largest, error.isNaN ? .infinity : error)
        if !(error <= relativeBound * abs(expected) + 1e-5) { isRight = false }
      }
    }
    return (largest, isRight)
  }
}
