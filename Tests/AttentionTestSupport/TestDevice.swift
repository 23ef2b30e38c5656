import Attention
import Foundation
import Synchronization

/// A device that tests run on, by the name that `--device` takes.
package struct TestDevice: Sendable, Hashable, CustomStringConvertible {
  package let name: String
  /// The kernels that it computes with: whatever is best, or the staged ones.
  package let kernel: KernelChoice
  private let isOpenCL: Bool
  package let description: String

  /// The float64 reference: the oracle.
  package static let reference = TestDevice(name: "reference", kernel: .auto, isOpenCL: false, description: "reference")

  /// The devices under test: the CPU backend with every instruction set of this processor, and every usable OpenCL device
  /// with each family of kernels; or those that the environment variable `ATTENTION_TEST_DEVICE` names, separated by commas.
  /// What goes wrong while they are found is in ``failure``.
  package static var all: [TestDevice] { (try? found.get()) ?? [] }

  /// The OpenCL devices under test, each once: for tests that choose kernels and tiles themselves.
  package static var openCL: [TestDevice] { all.filter { $0.isOpenCL && $0.kernel == .auto } }

  /// The devices under test, and the reference.
  package static var allAndReference: [TestDevice] { [.reference] + all }

  /// Why the devices could not be listed, or why one that was asked for is not there.
  package static var failure: (any Error)? {
    do {
      _ = try found.get()
      return nil
    } catch {
      return error
    }
  }

  private static let found: Result<[TestDevice], any Error> = Result {
    guard let wanted = ProcessInfo.processInfo.environment["ATTENTION_TEST_DEVICE"], !wanted.isEmpty else {
      let cpu = try InstructionSet.available.map { try DeviceRegistry.backend(named: "cpu:\($0.rawValue)") }
      let openCL = try DeviceRegistry.openCLDevices().filter { DeviceRegistry.unusable($0) == nil }
      return (cpu + openCL.map(Backend.openCL)).flatMap(families)
    }
    return try wanted.split(separator: ",").flatMap { families(try DeviceRegistry.backend(named: String($0))) }
  }

  private static func families(_ backend: Backend) -> [TestDevice] {
    let profile = backend.profile(threads: 2)
    return (profile.isOpenCL ? [KernelChoice.auto, .staged] : [.auto]).map {
      TestDevice(
        name: profile.identifier, kernel: $0, isOpenCL: profile.isOpenCL,
        description: "\(profile.identifier) \(profile.name), \($0.rawValue)")
    }
  }

  /// The engine of this device, one for all tests: an engine keeps the kernels that it has built.
  package func engine() throws -> AttentionEngine {
    try Self.engines.withLock { engines in
      if let engine = engines[self] { return engine }
      let engine = try AttentionEngine(device: .named([name]), kernel: kernel, tuning: .none)
      engines[self] = engine
      return engine
    }
  }

  /// Computes a call: with the best kernels the output and log-sum-exp by themselves, so that they come from one pass
  /// whatever else is asked for.
  package func attention(_ call: AttentionCall) throws -> AttentionResult {
    let engine = try engine()
    let own = call.inOnePass(true)
    var others = call
    others.returning.subtract(own.returning)
    guard kernel == .auto, self != .reference, !own.returning.isEmpty, !others.returning.isEmpty else {
      return try engine.attention(call)
    }
    var result = try engine.attention(others)
    let pass = try engine.attention(own)
    result.output = pass.output
    result.logSumExp = pass.logSumExp
    return result
  }

  private static let engines = Mutex<[TestDevice: AttentionEngine]>([:])
}

extension AttentionCall {
  /// The same call, asking for output and log-sum-exp alone.
  package func inOnePass(_ alone: Bool) -> AttentionCall {
    guard alone else { return self }
    var call = self
    call.returning.formIntersection([.output, .logSumExp])
    return call
  }
}
