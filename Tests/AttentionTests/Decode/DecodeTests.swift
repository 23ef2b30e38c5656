import Attention
import AttentionTestSupport
import Testing

/// The decode kernels of both classes of device, on whatever device there is.
@Suite("Decode")
struct DecodeTests {
  struct Choice: Sendable, CustomStringConvertible {
    let deviceClass: DeviceProfile.DeviceClass
    let vectorWidth: Int
    /// How many of the tiles that would be tried first are left out.
    let skipped: Int
    var description: String { "\(deviceClass), vectors of \(vectorWidth), row \(skipped) of the tiles" }
  }

  static let choices =
    [4, 8, 16].flatMap { width in
      (0..<2).map { Choice(deviceClass: .cpu, vectorWidth: width, skipped: $0) }
    } + (0..<4).map { Choice(deviceClass: .gpu, vectorWidth: 1, skipped: $0) }

  /// One query and several, of one head and of many that share keys, rows that are whole vectors and that are not.
  static func calls(_ type: ElementType) -> [NamedCall] {
    [
      NamedCall("one query", CallShape(type, heads: 4, keyHeads: 2, queries: 1, keys: 300, D: 64)),
      NamedCall("odd rows", CallShape(type, form: .bshd, batch: 2, heads: 5, keyHeads: 1, queries: 2, keys: 37, D: 19, Dv: 7)),
      NamedCall("pieces and modifiers", CallShape(type, batch: 2, heads: 6, keyHeads: 2, queries: 3, keys: 700, D: 40, Dv: 24)) {
        $0.mask = .causal(.lowerRight).tensor(try MaskTensorTests.mask([2, 6, 3, 700], .bfloat16))
        $0.sinks = [0, 1, -.infinity, 2, 0.5, -1]
        $0.softcap = 3
        $0.alibiSlopes = [0.5, 0.25, 0.125, 0, 0.3, 0.01]
      },
      NamedCall("window", CallShape(type, queries: 16, keys: 900, D: 16)) { $0.mask = .window(left: 280, right: 5) },
      NamedCall("packed") {
        var call = try PackedTests.call(type, queries: [1, 0, 5], keys: [600, 7, 65], width: 16)
        call.mask = .causal(.lowerRight)
        return call
      },
      NamedCall("one tensor", CallShape(type, form: .packed, batch: 2, heads: 2, queries: 9, D: 24)),
      NamedCall("paged") { try PagedTests.call(type, queries: 2) },
      NamedCall("no keys") {
        var call = try CallShape(type, batch: 2, queries: 2, keys: 20, D: 16).call()
        call.keyLengths = [0, 20]
        return call
      },
      NamedCall("wide", CallShape(type, heads: 3, keyHeads: 1, queries: 1, keys: 70, D: 576, Dv: 512)),
    ]
  }

  @Test("A grid on every row of the tiles", arguments: TestDevice.all, choices)
  func grid(device: TestDevice, choice: Choice) throws {
    guard device.kernel == .auto else { return }
    for type in choice.skipped == 0 && choice.vectorWidth != 4 ? ElementType.storageTypes : [.float32] {
      for named in Self.calls(type) {
        let call = try named.call().inOnePass(true)
        guard let result = try Self.attention(call, on: device, with: choice) else { continue }
        #expect(try Expectation(call).misses(result) == [], "\(type.rawValue) \(named)")
      }
    }
  }

  @Test("Values that are not finite reach the rows that see them and no others", arguments: TestDevice.all, choices)
  func nonFinite(device: TestDevice, choice: Choice) throws {
    guard device.kernel == .auto else { return }
    for keys in [5, 70, 300] {
      var call = try CallShape(queries: 4, keys: keys, D: 16).call().inOnePass(true)
      call.operands = .separate(
        query: try call.query.replacing([0, 0, 2, 1], with: .nan), key: call.key,
        value: try call.value.replacing([0, 1, keys - 2, 2], with: .infinity))
      call.mask = .causal(.lowerRight)
      guard let result = try Self.attention(call, on: device, with: choice) else { continue }
      #expect(try Expectation(call, naive: false).misses(result) == [], "\(keys) keys")
    }
  }

  @Test("A sequence's bits do not depend on the batch", arguments: TestDevice.all, choices)
  func batch(device: TestDevice, choice: Choice) throws {
    guard device.kernel == .auto else { return }
    var call = try CallShape(batch: 3, heads: 4, keyHeads: 2, queries: 1, keys: 600, D: 32).call().inOnePass(true)
    call.keyLengths = [600, 20, 513]
    guard let all = try Self.attention(call, on: device, with: choice)?.output?.floats() else { return }
    for b in 0..<3 {
      func entry(_ tensor: Tensor) throws -> Tensor {
        let size = tensor.count / 3
        return try Tensor(Array(tensor.floats()[b * size..<(b + 1) * size]), shape: [1] + tensor.shape.dropFirst())
      }
      var alone = AttentionCall(query: try entry(call.query), key: try entry(call.key), value: try entry(call.value))
      alone.keyLengths = [try #require(call.keyLengths)[b]]
      let own = try #require(try Self.attention(alone, on: device, with: choice)?.output).floats()
      #expect(Array(all[b * own.count..<(b + 1) * own.count]) == own, "sequence \(b)")
    }
  }

  /// The call computed with the decode kernels; nil where the device is too small for the tiles.
  static func attention(_ call: AttentionCall, on device: TestDevice, with choice: Choice) throws -> AttentionResult? {
    let engine = try device.engine()
    let problem = try AttentionProblem(call)
    var profile = try #require(engine.devices.first)
    guard profile.deviceClass != .reference else { return nil }
    profile.deviceClass = choice.deviceClass
    profile.vectorWidth = choice.vectorWidth
    let candidates = KernelTiles.candidates(for: problem, on: profile, kernel: .decode)
    profile.rejectedTiles = Array(candidates.prefix(choice.skipped))
    guard candidates.dropFirst(choice.skipped).first?.fit(problem, profile) == true else { return nil }
    let plan = try AttentionPlan(problem, devices: [profile], kernel: .decode)
    #expect(plan.parts.map(\.kernelName) == ["decode"])
    do {
      return try engine.attention(call, following: plan)
    } catch is TilesRejected {
      return nil
    }
  }
}
