import OpenCL

/// Finds fast tiles for a call on one device.
///
/// Candidates take turns with the best until then, A B A B, so that whatever else the machine does meets both; the ratio
/// is the median over the turns. A result that is wrong on the call, or on a small one whose lengths are no multiples of
/// any tile, rejects the candidate.
package struct Tuner {
  private let engine: AttentionEngine
  private let device: DeviceProfile
  private let kernel: KernelChoice
  private let measured: Case
  private let ragged: Case
  private let minimumSeconds: Double

  /// The class of problem that is tuned.
  package let problemClass: ProblemClass

  /// A call with its truth.
  private struct Case {
    let call: AttentionCall
    let problem: AttentionProblem
    let truth: SampledTruth

    init(_ call: AttentionCall) throws {
      self.call = call
      problem = try AttentionProblem(call)
      truth = SampledTruth(call, problem, roundedTo: problem.elementType)
    }
  }

  /// Stands between a candidate's result and the check: a test can put an error there.
  package var alter: (KernelTiles, AttentionResult) -> AttentionResult = { $1 }

  /// The tiles that are used without tuning.
  package let start: KernelTiles

  /// Turns of each.
  private static let leastTurns = 3
  private static let mostTurns = 51
  /// A candidate that is slower than this at both of its first turns gets no other.
  private static let hopeless = 1.25
  /// What a turn should last: shorter ones measure the clock.
  private static let turnSeconds = 0.005

  /// - Parameters:
  ///   - engine: Of one OpenCL device, without tuning.
  ///   - call: What is timed.
  ///   - ragged: A small call of the same class and dimensions, of odd lengths.
  ///   - minimumSeconds: Time spent on each candidate that has a chance, at least.
  /// - Throws: ``AttentionError/cannotRun(device:reason:)`` where the engine's device runs no kernels, or none with sizes to
  ///   search.
  package init(
    _ engine: AttentionEngine, kernel: KernelChoice, call: AttentionCall, ragged: AttentionCall, minimumSeconds: Double
  ) throws {
    self.engine = engine
    self.kernel = kernel
    self.minimumSeconds = minimumSeconds
    measured = try Case(call)
    self.ragged = try Case(ragged)
    // After a run the plan is one whose tiles the device has not rejected.
    let plan = try engine.measure(call, repetitions: 1).plan
    guard plan.parts.count == 1, let part = plan.parts.first, case .kernels(let kernels) = part.work else {
      throw AttentionError.cannotRun(
        device: plan.parts.map(\.device.identifier).joined(separator: ","),
        reason: "only one OpenCL device can be tuned")
    }
    guard let family = kernels.tiles.family else {
      throw AttentionError.cannotRun(
        device: part.device.identifier,
        reason: "the sizes of its \(kernels.tiles.kernel.rawValue) kernels follow from the call: nothing to search")
    }
    device = part.device
    start = kernels.tiles
    problemClass = ProblemClass(measured.problem, family)
  }

  /// The first rows of the table, to be tried before the search takes steps of its own. (The last are for devices with
  /// little of everything.)
  package var tableRows: [KernelTiles] {
    Array(KernelTiles.candidates(for: measured.problem, on: device, kernel: kernel).filter(fits).prefix(4))
  }

  package func neighbours(_ tiles: KernelTiles) -> [KernelTiles] { tiles.neighbours(on: device) }

  package func fits(_ tiles: KernelTiles) -> Bool {
    tiles.family == start.family && tiles.fit(measured.problem, device) && tiles.fit(ragged.problem, device)
  }

  /// Times tiles against others, both on the device in turn, and holds the former to the truth.
  package func time(_ tiles: KernelTiles, against others: KernelTiles) throws -> TileTiming {
    do {
      for testCase in [ragged, measured] {
        let comparison = testCase.truth.compare(alter(tiles, try run(testCase, tiles, repetitions: 1).result))
        guard comparison.isRight else { return .wrong(comparison.largest) }
      }
    } catch let rejected as TilesRejected {
      return .unusable(rejected.cause.map { "\($0.call): \($0.status)" } ?? "too large for its work-groups once built")
    } catch let error as OpenCLError where error.isOutOfMemory {
      return .unusable("\(error.call): \(error.status)")
    } catch AttentionError.cannotRun(_, let reason) {
      return .unusable(reason)
    }
    func seconds(_ tiles: KernelTiles, _ repetitions: Int) throws -> Double {
      try run(measured, tiles, repetitions: repetitions).kernelSeconds.min() ?? 0
    }
    var ratios: [Double] = []
    var spent = 0.0
    var repetitions = 1
    repeat {
      let theirs = try seconds(others, repetitions)
      let own = try seconds(tiles, repetitions)
      guard theirs > 0, own > 0 else { return .unusable("the clock is too coarse for the call") }
      ratios.append(own / theirs)
      spent += own * Double(repetitions)
      if ratios.count == 2, let best = ratios.min(), best > Self.hopeless { return .ratio(best) }
      repetitions = max(1, min(1000, Int(Self.turnSeconds / own)))
    } while ratios.count < Self.mostTurns && (ratios.count < Self.leastTurns || spent < minimumSeconds)
    return .ratio(ratios.median)
  }

  private func run(
    _ testCase: Case, _ tiles: KernelTiles, repetitions: Int
  ) throws -> (result: AttentionResult, kernelSeconds: [Double]) {
    var profile = device
    profile.tuning[ProblemClass(testCase.problem, problemClass.family)] = tiles
    let plan = try AttentionPlan(testCase.problem, devices: [profile], kernel: kernel)
    guard plan.parts.allSatisfy({ if case .kernels(let plan) = $0.work { plan.tiles == tiles } else { false } }) else {
      throw AttentionError.cannotRun(device: device.identifier, reason: "the planner passes these tiles over")
    }
    return try engine.measure(testCase.call, following: plan, repetitions: repetitions)
  }
}

extension [Double] {
  /// The middle value; the mean of the two middle ones of an even number; 0 of none.
  package var median: Double {
    guard !isEmpty else { return 0 }
    let sorted = sorted()
    return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2
  }
}
