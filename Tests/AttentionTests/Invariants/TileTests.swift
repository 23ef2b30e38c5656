import Attention
import AttentionTestSupport
import Testing

/// Every row of the tables of tiles, on whatever device there is: a GPU's tiles run on a CPU too.
@Suite("Tiles")
struct TileTests {
  static let tiles: [Choice] =
    [DeviceProfile.DeviceClass.gpu, .cpu].flatMap { deviceClass in
      StagedTiles.candidates(for: deviceClass).map { Choice(deviceClass: deviceClass, tiles: .staged($0)) }
    }
    + fusedGPUTiles.map { Choice(deviceClass: .gpu, tiles: .fusedGPU($0)) }
    + [4, 8, 16].flatMap { width in
      FusedCPUTiles.candidates(vectorWidth: width).map { Choice(deviceClass: .cpu, tiles: .fusedCPU($0)) }
    }

  /// The rows for every device, and those that a vendor's have to themselves.
  static let fusedGPUTiles: [FusedGPUTiles] = {
    let any = FusedGPUTiles.candidates(vendor: .other, headDimension: 1, valueDimension: 1)
    var seen = Set(any.map(\.description))
    return any
      + [DeviceVendor.amd, .intel, .nvidia].flatMap {
        FusedGPUTiles.candidates(vendor: $0, headDimension: 1, valueDimension: 1)
      }.filter { seen.insert($0.description).inserted }
  }()

  struct Choice: Sendable, CustomStringConvertible {
    let deviceClass: DeviceProfile.DeviceClass
    let tiles: KernelTiles
    var description: String { "\(deviceClass): \(tiles)" }

    /// A profile of the device under which the planner takes these tiles: those before them are rejected.
    func profile(_ device: DeviceProfile, _ problem: AttentionProblem) -> DeviceProfile {
      var profile = device
      profile.deviceClass = deviceClass
      // (Rows of vendors come only to their devices.)
      if case .fusedGPU(let tiles) = tiles, tiles.nativeExp2 {
        profile.vendor =
          [.amd, .intel, .nvidia].first {
            FusedGPUTiles.candidates(vendor: $0, headDimension: 1, valueDimension: 1).contains(tiles)
          } ?? .other
      }
      if case .fusedCPU(let tiles) = tiles { profile.vectorWidth = tiles.vector }
      let candidates = KernelTiles.candidates(for: problem, on: profile, kernel: tiles.kernel)
      profile.rejectedTiles = Array(candidates.prefix { $0 != tiles })
      return profile
    }
  }

  /// Float32 on all, and the 16-bit types on the first of a class: each type costs a build of the kernels. Rows of
  /// float32 are aligned, the others not.
  static func types(_ choice: Choice) -> [ElementType] {
    let first = [
      StagedTiles.candidates(for: choice.deviceClass).first.map(KernelTiles.staged),
      FusedCPUTiles.candidates(vectorWidth: 8).first.map(KernelTiles.fusedCPU),
      FusedGPUTiles.candidates(vendor: .other, headDimension: 1, valueDimension: 1).first.map(KernelTiles.fusedGPU),
    ]
    return first.contains(choice.tiles) ? ElementType.storageTypes : [.float32]
  }

  /// Few pairs of dimensions: the fused kernel of GPUs is built for each.
  static func calls(_ type: ElementType) -> [NamedCall] {
    let odd = type == .float32 ? 0 : 1
    return [
      NamedCall("short", CallShape(type, queries: 3, keys: 5, D: 16 - odd)),
      NamedCall("masked", CallShape(type, batch: 2, heads: 4, keyHeads: 2, queries: 67, keys: 131, D: 40, Dv: 24 + odd))
      {
        $0.mask = .causal(.lowerRight).tensor(try MaskTensorTests.mask([2, 4, 67, 131], .bfloat16))
        $0.sinks = [0, 1, -.infinity, 2]
        $0.softcap = 3
        $0.alibiSlopes = [0.5, 0.25, 0.125, 0]
      },
      NamedCall("wide", CallShape(type, queries: 17, keys: 70, D: 192 - odd, Dv: 132)),
      NamedCall("window", CallShape(type, queries: 200, keys: 200, D: 16 - odd)) {
        $0.mask = .window(left: 20, right: 5)
      },
      NamedCall("chunks", CallShape(type, queries: 2, keys: 4100, D: 16 - odd)),
      NamedCall("packed") {
        var call = try PackedTests.call(type, queries: [17, 0, 65], keys: [30, 7, 65], width: 16 - odd)
        call.mask = .causal(.lowerRight)
        return call
      },
    ]
  }

  @Test("A smaller grid on each", arguments: TestDevice.openCL, tiles)
  func grid(device: TestDevice, choice: Choice) throws {
    var computed = 0
    for type in Self.types(choice) {
      for named in Self.calls(type) {
        let call = try named.call().inOnePass(choice.tiles.kernel == .fused)
        guard let result = try Self.attention(call, on: device, with: choice) else { continue }
        computed += 1
        #expect(try Expectation(call).misses(result) == [], "\(type.rawValue) \(named)")
      }
    }
    try Self.expectSome(computed, on: device)
  }

  @Test("Rows that are not finite leave the others alone", arguments: TestDevice.openCL, tiles)
  func nonFinite(device: TestDevice, choice: Choice) throws {
    for keys in [5, 8, 20, 70] {
      var call = try CallShape(queries: 9, keys: keys, D: 16).call().inOnePass(choice.tiles.kernel == .fused)
      call.operands = .separate(
        query: try call.query.replacing([0, 0, 4, 1], with: .nan), key: call.key,
        value: try call.value.replacing([0, 1, keys - 1, 2], with: .infinity))
      call.mask = .causal(.lowerRight)
      guard let result = try Self.attention(call, on: device, with: choice) else { return }
      #expect(try Expectation(call, naive: false).misses(result) == [], "\(keys) keys")
    }
  }

  /// The call computed with some tiles; nil where the device is too small for them, by its limits or once they are built.
  static func attention(
    _ call: AttentionCall, on device: TestDevice, with choice: Choice
  ) throws -> AttentionResult? {
    let engine = try device.engine()
    let problem = try AttentionProblem(call)
    let profile = choice.profile(try #require(engine.devices.first), problem)
    guard KernelTiles.candidates(for: problem, on: profile, kernel: choice.tiles.kernel).contains(choice.tiles),
      choice.tiles.fit(problem, profile)
    else { return nil }
    let plan = try AttentionPlan(problem, devices: [profile], kernel: choice.tiles.kernel)
    #expect(plan.tiles == [choice.tiles])
    do {
      return try engine.attention(call, following: plan)
    } catch is TilesRejected {
      return nil
    }
  }

  /// Tiles may be too large for a device, but not for one as roomy as PoCL's: a test that computes nothing there tests nothing.
  static func expectSome(_ computed: Int, on device: TestDevice) throws {
    let profile = try #require(device.engine().devices.first)
    #expect(computed > 0 || profile.localMemory < 1 << 20 || profile.maxWorkGroupSize < 4096)
  }

  @Test("Sizes that the kernels rely on", arguments: tiles)
  func sizes(choice: Choice) {
    guard case .staged(let tiles) = choice.tiles else { return }
    #expect(tiles.depth % 4 == 0, "loads are of four elements")
    #expect(tiles.tileColumns % tiles.depth == 0, "a row of scores ends with a tile of the product with the values")
    #expect(tiles.tileColumns % tiles.softmaxVector == 0, "a row of scores is whole vectors")
    #expect(tiles.chunk % tiles.softmaxVector == 0, "a chunk is whole vectors")
    #expect(tiles.groupX <= 32, "items across have a bit each in the lists of top keys")
    #expect(tiles.softmaxItems.nonzeroBitCount == 1, "the reduction is a tree")
    #expect([4, 8, 16].contains(tiles.vector), "outputs are stored by fours")
    #expect(tiles.rows % 4 == 0, "an item's rows are read by fours")
    #expect([1, 2, 4, 8, 16].contains(tiles.softmaxVector))
  }
}
