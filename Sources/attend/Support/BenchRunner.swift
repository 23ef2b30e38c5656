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
  /// Beside kernels that take longer, what a call costs is less than how much they vary.
  private static let overheadIsLost = 1e-3
  /// Runs for its median, at least.
  private static let overheadRuns = 101

  init(_ shape: Shape, repetitions: Int, minimumSeconds: Double) throws {
    self.shape = shape
    self.repetitions = repetitions
    self.minimumSeconds = minimumSeconds
    call = try shape.call()
    problem = try AttentionProblem(call)
    if let storage = shape.kvType {
      let cache = try CacheBench(shape, storage, call)
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
    let fastest = measured.kernelSeconds.min() ?? 0
    let overhead =
      fastest > Self.overheadIsLost
      ? nil : try engine.callOverhead(call, repetitions: max(count, Self.overheadRuns))
    let comparison = truth.compare(measured.result)
    let row = BenchRow(
      shape, problem, measured.plan, kernelSeconds: measured.kernelSeconds, endToEndSeconds: endToEnd,
      callOverhead: overhead?.median, peakBytes: measured.peakBytes, buildSeconds: buildSeconds,
      error: comparison.largest)
    return (row, comparison.isRight)
  }

  private func run(_ cache: CacheBench, on engine: AttentionEngine) throws -> (row: BenchRow, isRight: Bool) {
    let builtBefore = Program.totalBuildSeconds
    let first = try cache.measure(on: engine, repetitions: 1)
    let buildSeconds = Program.totalBuildSeconds - builtBefore
    let measured = try cache.measure(
      on: engine, repetitions: repetitionCount(oneTakes: first.kernelSeconds.first ?? 0))
    let comparison = truth.compare(measured.result)
    let plan = try engine.plan(problem)
    let isOpenCL = plan.parts.contains { $0.device.isOpenCL }
    let row = BenchRow(
      shape, problem, plan, cacheKernel: isOpenCL ? engine.cacheKernel(problem) : nil,
      kernelSeconds: measured.kernelSeconds,
      endToEndSeconds: measured.stepSeconds, callOverhead: nil, peakBytes: measured.bytes, buildSeconds: buildSeconds,
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

extension Double {
  fileprivate func clamped(to range: ClosedRange<Double>) -> Double {
    min(max(self, range.lowerBound), range.upperBound)
  }
}
