import Attention
import OpenCL

/// Times one shape on one device after the other.
struct BenchRunner {
  private let shape: Shape
  private let call: AttentionCall
  private let problem: AttentionProblem
  private let truth: SampledTruth
  private let cache: CacheBench?
  private let repetitions: Int
  private let minimumSeconds: Double

  /// Whatever was asked for, a row ends at about this long.
  private static let longestSeconds = 30.0

  init(_ shape: Shape, repetitions: Int, minimumSeconds: Double) throws {
    self.shape = shape
    self.repetitions = repetitions
    self.minimumSeconds = minimumSeconds
    call = try shape.call()
    problem = try AttentionProblem(call)
    if let storage = shape.kvType {
      let cache = CacheBench(shape, storage, call)
      let rounded = try cache.rounded()
      truth = SampledTruth(rounded, try AttentionProblem(rounded), roundedTo: problem.elementType)
      self.cache = cache
    } else {
      truth = SampledTruth(call, problem, roundedTo: problem.elementType)
      cache = nil
    }
  }

  /// The row, and whether the result was right: if not, its times mean nothing.
  func run(on engine: AttentionEngine) throws -> (row: BenchRow, isRight: Bool) {
    if let cache { return try run(cache, on: engine) }
    // One run to compile, warm up and learn how long a run takes.
    let builtBefore = Program.totalBuildSeconds
    let first = try engine.measure(call, repetitions: 1)
    let buildSeconds = Program.totalBuildSeconds - builtBefore
    let count = repetitionCount(oneTakes: first.kernelSeconds.first ?? 0)
    let measured = try engine.measure(call, repetitions: count)
    let endToEnd = try (0..<count).map { _ in
      let start = ContinuousClock.now
      _ = try engine.attention(call)
      return (ContinuousClock.now - start) / .seconds(1)
    }
    let comparison = truth.compare(measured.result)
    let row = BenchRow(
      shape, problem, measured.plan, kernelSeconds: measured.kernelSeconds, endToEndSeconds: endToEnd,
      peakBytes: measured.peakBytes, buildSeconds: buildSeconds, error: comparison.largest)
    return (row, comparison.isRight)
  }

  private func run(_ cache: CacheBench, on engine: AttentionEngine) throws -> (row: BenchRow, isRight: Bool) {
    let builtBefore = Program.totalBuildSeconds
    let first = try cache.measure(on: engine, repetitions: 1)
    let buildSeconds = Program.totalBuildSeconds - builtBefore
    let measured = try cache.measure(
      on: engine, repetitions: repetitionCount(oneTakes: first.kernelSeconds.first ?? 0))
    let comparison = truth.compare(measured.result)
    let row = BenchRow(
      shape, problem, try engine.plan(problem), kernelSeconds: measured.kernelSeconds,
      endToEndSeconds: measured.stepSeconds, peakBytes: measured.bytes, buildSeconds: buildSeconds,
      error: comparison.largest)
    return (row, comparison.isRight)
  }

  private func repetitionCount(oneTakes seconds: Double) -> Int {
    guard seconds > 0 else { return repetitions }
    let wanted = max(repetitions, Int((minimumSeconds / seconds).rounded(.up).clamped(to: 1...1e6)))
    let most = Int((Self.longestSeconds / seconds).clamped(to: 1...1e6))
    return min(wanted, most)
  }
}

/// Rows of the float64 result to hold a device's to: all of them, or for large shapes a sample.
private struct SampledTruth {
  struct Sample {
    let offset: Int
    let output: [Double]
  }

  private let samples: [Sample]
  private let relativeBound: Double

  /// Pairs of queries and keys that the reference does in about a second.
  private static let pairsAtOnce = 4_000_000
  private static let sampledHeads = 4
  private static let sampledRows = 8

  init(_ call: AttentionCall, _ problem: AttentionProblem, roundedTo elementType: ElementType) {
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
  func compare(_ result: AttentionResult) -> (largest: Double, isRight: Bool) {
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

extension Double {
  fileprivate func clamped(to range: ClosedRange<Double>) -> Double {
    min(max(self, range.lowerBound), range.upperBound)
  }
}
