/// The most float32 operations a device was seen to do a second, two for each multiply-add.
///
/// A measurement on registers alone, to set other rates beside: no driver tells how many multiply-adds a compute unit
/// does in a cycle, or at which clock it really runs.
package struct PeakRate: Sendable {
  /// The measurement's result was not what multiply-adds make, so its time means nothing.
  package struct WrongResult: Error, CustomStringConvertible {
    let device: String
    let found: Float
    let expected: Float

    package var description: String { "\(device): multiply_adds made \(found), expected \(expected)" }
  }

  package static let sources = ["peak"]

  /// Floats of a vector to try: which one fills a device's pipelines depends on its compiler.
  private static let widths = [2, 4, 8, 16]
  /// Independent vectors of a work-item. Twelve cover the latency of two pipelines and fit sixteen registers.
  private static let chains = 12
  /// The fastest counts: whatever else the machine does only takes away.
  private static let repetitions = 12
  /// A run is long enough when starting it no longer matters.
  private static let usefulSeconds = 0.02
  /// Below this a float counts every round: numbers start under 2¹², and 2²⁴ is the first odd number lost.
  private static let mostRounds = 1 << 23

  /// Operations a second.
  package let operationsPerSecond: Double

  /// Measures a device; takes about a second, and some more to compile where the cache is empty.
  ///
  /// - Throws: `OpenCLError`, and ``WrongResult``.
  package init(measuring device: Device, cache: ProgramCache = .standard) throws {
    let context = try Context(device)
    let queue = try CommandQueue(context)
    var best = 0.0
    for width in Self.widths { best = max(best, try Self.rate(width, context, queue, cache)) }
    operationsPerSecond = best
  }

  private static func rate(
    _ width: Int, _ context: Context, _ queue: CommandQueue, _ cache: ProgramCache
  ) throws -> Double {
    let info = context.device.info
    let program = try Program(
      context, sources: sources, options: "-cl-std=CL1.2 -DWIDTH=\(width) -DCHAINS=\(chains)", cache: cache)
    let kernel = try Kernel(program, "multiply_adds")
    // A core takes work-items one by one; other devices want many in a group, and several groups a compute unit.
    let local = info.kind == .cpu ? 1 : max(1, min(64, kernel.workGroupSize))
    let items = max(1, info.computeUnits) * 16 * local
    let start = (0..<items * chains * width).map { Float($0 % 4096) }
    let buffer = try Buffer(context, byteCount: start.count * MemoryLayout<Float>.stride)
    try kernel.setArgument(0, buffer)
    try kernel.setArgument(1, Float(1))
    try kernel.setArgument(2, Float(1))

    func seconds(_ rounds: Int) throws -> Double {
      try kernel.setArgument(3, Int32(clamping: rounds))
      try start.withUnsafeBytes { _ = try queue.enqueueWrite($0, to: buffer) }
      try queue.finish()
      let begin = ContinuousClock.now
      try queue.enqueueKernel(kernel, global: [items], local: [local]).wait()
      let elapsed = (ContinuousClock.now - begin) / .seconds(1)
      var found = [Float](repeating: 0, count: start.count)
      try found.withUnsafeMutableBytes { _ = try queue.enqueueRead(buffer, into: $0) }
      if let wrong = found.indices.first(where: { found[$0] != start[$0] + Float(rounds) }) {
        throw WrongResult(device: info.name, found: found[wrong], expected: start[wrong] + Float(rounds))
      }
      return elapsed
    }

    var rounds = 1024
    while try seconds(rounds) < usefulSeconds, rounds < mostRounds { rounds *= 2 }
    let fastest = try (0..<repetitions).map { _ in try seconds(rounds) }.min() ?? .infinity
    return 2 * Double(rounds) * Double(start.count) / fastest
  }
}
