import OpenCL
import Synchronization

/// The devices of an engine: what planning knows of them, what carries work out on them, and which one takes over where
/// `auto` meets one that cannot.
package final class DeviceRoster: Sendable {
  /// In the order in which they are tried (`auto`) or share the heads (named).
  let profiles: [DeviceProfile]

  private let isAutomatic: Bool
  private let backends: [Backend]
  private let programs: ProgramCache
  private let notice: @Sendable (String) -> Void
  private let state: Mutex<State>

  private struct State {
    /// With the tiles that turned out not to run.
    var current: [DeviceProfile]
    var executors: [String: OpenCLExecutor] = [:]
    /// Devices that `auto` has given up.
    var abandoned: Set<String> = []
    /// Notices given: each is worth one line.
    var noticed: Set<String> = []
  }

  /// - Parameter threads: What the CPU backend works on.
  init(
    _ selection: DeviceSelection, tuning: TuningStore, programs: ProgramCache, threads: Int,
    notice: @escaping @Sendable (String) -> Void
  ) throws {
    try DeviceProfile.checkEnvironment()
    self.programs = programs
    self.notice = notice
    isAutomatic = selection == .auto
    backends =
      switch selection {
      case .named(let names): try names.map(DeviceRegistry.backend(named:)).uniqued()
      case .auto: try DeviceRegistry.automatic(notice: notice)
      }
    profiles = backends.map { backend in
      var profile = backend.profile(threads: threads)
      if case .openCL(let device) = backend {
        let (table, problem) = tuning.table(of: device.info)
        profile.tuning = table
        if let problem { notice(problem) }
      }
      return profile
    }
    state = Mutex(State(current: profiles))
  }

  /// Those that the next call goes to: all that were named; under `auto`, the first that has not failed.
  var active: [DeviceProfile] {
    guard isAutomatic else { return profiles }
    let abandoned = state.withLock { $0.abandoned }
    return profiles.first { !abandoned.contains($0.identifier) }.map { [$0] } ?? []
  }

  /// The OpenCL device of a name, among those here; nil for the reference.
  package func openCLDevice(_ identifier: String) -> Device? {
    for case .openCL(let device) in backends where device.identifier == identifier { return device }
    return nil
  }

  // MARK: Planning

  /// Plans a problem and hands the plan to `body`. Under `auto`, one device after the other is tried.
  func perform<Result>(
    _ problem: AttentionProblem, _ kernel: KernelChoice, overlappingTransfers: Bool = true,
    _ body: (AttentionPlan) throws -> Result
  ) throws -> Result {
    func replanning(_ indices: [Int]) throws -> Result {
      try self.replanning(on: indices, body) {
        try AttentionPlan(problem, devices: $0, kernel: kernel, overlappingTransfers: overlappingTransfers)
      }
    }
    guard isAutomatic else { return try replanning(Array(profiles.indices)) }
    for index in profiles.indices.dropLast() {
      let device = profiles[index]
      if state.withLock({ $0.abandoned.contains(device.identifier) }) { continue }
      do {
        return try replanning([index])
      } catch {
        let next = profiles[index + 1]
        giveNotice("\(device.name): \(Self.reason(of: error)); falling back to \(next.name)")
        abandon(device, for: error)
      }
    }
    return try replanning([profiles.count - 1])
  }

  /// Plans a problem whose operands are on an executor's device for that device alone.
  func perform<Result>(
    _ problem: AttentionProblem, _ kernel: KernelChoice, on executor: OpenCLExecutor,
    _ body: (DevicePlan) throws -> Result
  ) throws -> Result {
    let device = executor.device.identifier
    guard let index = profiles.firstIndex(where: { $0.identifier == device }) else {
      throw AttentionError.noDevice(requested: device, available: profiles.map(\.identifier))
    }
    return try replanning(on: [index], body) { profiles in
      try DevicePlan(
        problem, heads: 0..<problem.headCount, on: profiles[0], kernel: kernel, overlappingTransfers: false)
    }
  }

  /// Plans, and plans again with other tiles, or without matrix units, while a kernel that was built cannot be used.
  private func replanning<Plan, Result>(
    on indices: [Int], _ body: (Plan) throws -> Result, plan: ([DeviceProfile]) throws -> Plan
  ) throws -> Result {
    var cause: OpenCLError?
    while true {
      let profiles = state.withLock { state in indices.map { state.current[$0] } }
      do {
        return try body(try plan(profiles))
      } catch let rejected as TilesRejected {
        // The planner leaves rejected tiles out and says so when none are left, so this ends.
        cause = rejected.cause ?? cause
        state.withLock { state in
          for index in indices where state.current[index].identifier == rejected.device {
            if let (type, _) = rejected.matrixUnits { state.current[index].matrixUnits[type] = nil }
            if case .fusedCPU = rejected.tiles { state.current[index].amx = .none }
            state.current[index].rejectedTiles.append(rejected.tiles)
          }
        }
        if let (type, reason) = rejected.matrixUnits {
          giveNotice("\(rejected.device) does without its matrix units for \(type.rawValue): \(reason)")
        }
      } catch let error as OpenCLError {
        throw AttentionError.openCL(error)
      } catch AttentionError.cannotRun(let device, let reason) {
        // Why there are no tiles left, where it is the driver's reason.
        throw cause.map(AttentionError.openCL) ?? AttentionError.cannotRun(device: device, reason: reason)
      }
    }
  }

  // MARK: Executors

  /// The executor of an OpenCL device, made when it is first needed; nil for the others.
  func executor(_ profile: DeviceProfile) throws -> OpenCLExecutor? {
    guard let index = profiles.firstIndex(where: { $0.identifier == profile.identifier }),
      case .openCL(let device) = backends[index]
    else { return nil }
    return try state.withLock { state in
      if let executor = state.executors[profile.identifier] { return executor }
      let executor = try OpenCLExecutor(device, programs: programs)
      state.executors[profile.identifier] = executor
      return executor
    }
  }

  /// Where device tensors and caches live: on the first device of those that are used now.
  package enum Home {
    case host
    case device(OpenCLExecutor)
  }

  package func home() throws -> Home {
    let abandoned = state.withLock { $0.abandoned }
    for profile in profiles where !(isAutomatic && abandoned.contains(profile.identifier)) {
      do {
        return try executor(profile).map(Home.device) ?? .host
      } catch {
        guard isAutomatic else { throw (error as? OpenCLError).map(AttentionError.openCL) ?? error }
        giveNotice("\(profile.name): \(Self.reason(of: error)); passing it over")
        abandon(profile, for: error)
      }
    }
    return .host
  }

  /// What planning knows of an executor's device.
  func profile(of executor: OpenCLExecutor) throws -> DeviceProfile {
    guard let profile = profiles.first(where: { $0.identifier == executor.device.identifier }) else {
      throw AttentionError.noDevice(requested: executor.device.identifier, available: profiles.map(\.identifier))
    }
    return profile
  }

  /// Leaves a device out from now on. Too little memory is one call's trouble; anything else would happen again.
  private func abandon(_ device: DeviceProfile, for error: any Error) {
    switch error {
    case AttentionError.cannotRun, AttentionError.outOfMemory: return
    case AttentionError.openCL(let error) where error.isOutOfMemory: return
    case let error as OpenCLError where error.isOutOfMemory: return
    default: state.withLock { _ = $0.abandoned.insert(device.identifier) }
    }
  }

  /// One line of why: a compiler's log is not for notices.
  private static func reason(of error: any Error) -> Substring {
    if case AttentionError.cannotRun(_, let reason) = error { return reason[...] }
    return "\(error)".split(separator: "\n", maxSplits: 1).first ?? "failed"
  }

  private func giveNotice(_ text: String) {
    if state.withLock({ $0.noticed.insert(text).inserted }) { notice(text) }
  }
}

extension Backend {
  /// What planning knows of the backend.
  ///
  /// - Parameter threads: What the CPU backend works on.
  package func profile(threads: Int) -> DeviceProfile {
    switch self {
    case .openCL(let device): DeviceProfile(device)
    case .cpu(let set, let identifier): DeviceProfile(set, identifier: identifier, threads: threads)
    case .reference:
      DeviceProfile(
        identifier: identifier, name: "CPU, float64 reference", deviceClass: .reference, computeUnits: threads)
    }
  }
}

extension Array where Element: Hashable {
  /// The elements without later repetitions.
  fileprivate func uniqued() -> [Element] {
    var seen: Set<Element> = []
    return filter { seen.insert($0).inserted }
  }
}
