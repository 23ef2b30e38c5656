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
    [(8, 0), (16, 0), (4, 1)].map { Choice(deviceClass: .cpu, vectorWidth: $0, skipped: $1) }
    + [0, 2, 3].map { Choice(deviceClass: .gpu, vectorWidth: 1, skipped: $0) }

  /// One query and several, of one head and of many that share keys. Few pairs of dimensions: the kernels are built for each.
  static func calls(_ type: ElementType, _ choice: Choice) -> [NamedCall] {
    let calls = [
      NamedCall("one query", CallShape(type, heads: 4, keyHeads: 2, queries: 1, keys: 300, D: 32)),
      NamedCall("pieces and modifiers", CallShape(type, batch: 2, heads: 6, keyHeads: 2, queries: 2, keys: 700, D: 32))
      {
        $0.mask = .causal(.lowerRight).tensor(try MaskTensorTests.mask([2, 6, 2, 700], .bfloat16))
        $0.sinks = [0, 1, -.infinity, 2, 0.5, -1]
        $0.softcap = 3
        $0.alibiSlopes = [0.5, 0.25, 0.125, 0, 0.3, 0.01]
      },
      NamedCall("window", CallShape(type, heads: 4, keyHeads: 2, queries: 16, keys: 900, D: 32)) {
        $0.mask = .window(left: 280, right: 5)
      },
      NamedCall("block mask", CallShape(type, heads: 4, keyHeads: 2, queries: 16, keys: 300, D: 32)) {
        $0.mask = .blocks(try BlockMaskTests.mask([1, 4], 16, 300, 3, 20))
      },
      NamedCall("packed") {
        var call = try PackedTests.call(type, queries: [1, 0, 5], keys: [600, 7, 65], width: 32)
        call.mask = .causal(.lowerRight)
        return call
      },
      NamedCall("one tensor", CallShape(type, form: .packed, batch: 2, heads: 2, queries: 9, D: 32)),
      NamedCall("no keys") {
        var call = try CallShape(type, batch: 2, heads: 4, keyHeads: 2, queries: 2, keys: 20, D: 32).call()
        call.keyLengths = [0, 20]
        return call
      },
      NamedCall("paged") { try PagedTests.call(type, queries: 2) },
      NamedCall("rows by threes", CallShape(type, heads: 3, keyHeads: 1, queries: 3, keys: 600, D: 32)),
    ]
    guard type == .float32 else { return calls }
    let odd = CallShape(form: .bshd, batch: 2, heads: 5, keyHeads: 1, queries: 2, keys: 137, D: 19, Dv: 7)
    let wide = CallShape(heads: 3, keyHeads: 1, queries: 1, keys: 1100, D: 576, Dv: 512)
    return calls + [NamedCall("odd rows", odd)] + (choice.vectorWidth < 16 ? [NamedCall("wide", wide)] : [])
  }

  @Test("A grid on every row of the tiles", arguments: TestDevice.openCL, choices)
  func grid(device: TestDevice, choice: Choice) throws {
    var computed = 0
    for type in choice.skipped == 0 ? ElementType.storageTypes : [.float32] {
      for named in Self.calls(type, choice) {
        let call = try named.call().inOnePass(true)
        guard let result = try Self.attention(call, on: device, with: choice) else { continue }
        computed += 1
        #expect(try Expectation(call).misses(result) == [], "\(type.rawValue) \(named)")
      }
    }
    try TileTests.expectSome(computed, on: device)
  }

  @Test("Values that are not finite reach the rows that see them and no others", arguments: TestDevice.openCL, choices)
  func nonFinite(device: TestDevice, choice: Choice) throws {
    for keys in [5, 70, 300, 600] {
      var call = try CallShape(heads: 2, queries: 4, keys: keys, D: 32).call().inOnePass(true)
      call.operands = .separate(
        query: try call.query.replacing([0, 0, 2, 1], with: .nan), key: call.key,
        value: try call.value.replacing([0, 1, keys - 2, 2], with: .infinity))
      call.mask = .causal(.lowerRight)
      guard let result = try Self.attention(call, on: device, with: choice) else { continue }
      #expect(try Expectation(call, naive: false).misses(result) == [], "\(keys) keys")
      // Where tiles reach past the last key, it is the last key that is at hand.
      var last = call
      last.operands = .separate(
        query: call.query, key: call.key, value: try call.value.replacing([0, 0, keys - 1, 3], with: .infinity))
      last.mask = .none
      guard let result = try Self.attention(last, on: device, with: choice) else { continue }
      #expect(try Expectation(last, naive: false).misses(result) == [], "\(keys) keys, the last infinite")
    }
  }

  @Test("A sequence's bits do not depend on the batch", arguments: TestDevice.openCL, choices)
  func batch(device: TestDevice, choice: Choice) throws {
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
