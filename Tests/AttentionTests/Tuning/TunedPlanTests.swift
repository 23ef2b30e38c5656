import Attention
import AttentionTestSupport
import Testing

@Suite("Plans with tuned tiles")
struct TunedPlanTests {
  static func problem(
    queries: Int = 500, keys: Int = 500, width: Int = 64, _ mask: AttentionMask = .none,
    outputs: AttentionOutputs = .output
  ) throws -> AttentionProblem {
    try AttentionProblem(
      batch: 1, queryHeads: 2, keyValueHeads: 2, queryLength: queries, keyLength: keys, headDimension: width,
      valueDimension: width, elementType: .float32, mask: mask, outputs: outputs)
  }

  static func device(_ deviceClass: DeviceProfile.DeviceClass, local: Int = 1 << 20) -> DeviceProfile {
    DeviceProfile(
      identifier: "x", name: "x", deviceClass: deviceClass, localMemory: local, maxWorkGroupSize: 1024)
  }

  static func plan(_ problem: AttentionProblem, _ device: DeviceProfile, _ kernel: KernelChoice = .auto) throws
    -> DevicePlan
  {
    let part = try #require(try AttentionPlan(problem, devices: [device], kernel: kernel).parts.first)
    guard case .kernels(let plan) = part.work else { throw AttentionError.noDevice(requested: "", available: []) }
    return plan
  }

  @Test("Tuned tiles stand before the table, for their class alone", arguments: [DeviceProfile.DeviceClass.cpu, .gpu])
  func chosen(deviceClass: DeviceProfile.DeviceClass) throws {
    var device = Self.device(deviceClass)
    let problem = try Self.problem()
    let table = try Self.plan(problem, device)
    #expect(!table.tilesAreTuned)
    let other = try #require(
      table.tiles.neighbours(on: device).first { $0.fit(problem, device) })
    device.tuning[ProblemClass(problem, try #require(table.tiles.family))] = other
    let tuned = try Self.plan(problem, device)
    #expect(tuned.tiles == other && tuned.tilesAreTuned)
    #expect(try Self.plan(problem, device, .fused).tiles == other)
    for same in [try Self.problem(queries: 17, keys: 1024), try Self.problem(queries: 9000, keys: 3)] {
      #expect(try Self.plan(same, device).tiles == other)
    }
    for another in try [
      Self.problem(width: 32), Self.problem(.causal(.lowerRight)), Self.problem(.window(left: 3)),
      Self.problem(keys: 1025), Self.problem(queries: 16), Self.problem(outputs: .weights),
    ] {
      let plan = try Self.plan(another, device)
      #expect(plan.tiles != other && !plan.tilesAreTuned)
    }
    #expect(try !Self.plan(problem, device, .staged).tilesAreTuned)
    // Once built they may turn out too large: then the table has its turn.
    device.rejectedTiles = [other]
    #expect(try Self.plan(problem, device).tiles == table.tiles)
    #expect(try !Self.plan(problem, device).tilesAreTuned)
  }

  @Test("Masks decide the class")
  func masks() throws {
    func kind(_ mask: AttentionMask) throws -> ProblemClass.MaskKind {
      ProblemClass(try Self.problem(mask), .staged).mask
    }
    #expect(try kind(.none) == .open)
    #expect(try kind(.causal(.upperLeft)) == .causal)
    #expect(try kind(.causal(.lowerRight).window(left: 5)) == .window)
    #expect(try kind(.tensor(Tensor([true], shape: [1, 1]))) == .tensor)
  }

  /// Sizes that no kernel can be built with, a device cannot run, or that overflow.
  static let unfit: [(KernelTiles.Family, [Int])] = [
    (.fusedCPU, [8, 0, 2, 12, 16, 0]), (.fusedCPU, [5, 6, 2, 12, 16, 0]), (.fusedCPU, [8, 6, 2, .max, 16, 0]),
    (.fusedCPU, [8, 6, -2, 12, 16, 0]), (.fusedCPU, [16, 16, 8, 256, 1024, 0]), (.fusedCPU, [16, 16, 2, 8, 8, 1]),
    (.fusedGPU, [64, 16, 16, 16, 0, 0, 0, 1, 0, 0]), (.fusedGPU, [64, 16, 16, 16, 0, 16, 0, 1, 1, 0]),
    (.fusedGPU, [64, 17, 16, 16, 0, 0, 0, 1, 1, 0]), (.fusedGPU, [64, 16, 0, 16, 0, 0, 0, 1, 1, 0]),
    (.fusedGPU, [64, 16, 16, 16, 1, 20, 0, 1, 1, 0]), (.fusedGPU, [64, 16, 16, 16, 1, 16, 5, 1, 1, 0]),
    (.fusedGPU, [1024, 1024, 32, 32, 0, 0, 0, 1, 1, 0]), (.fusedGPU, [.max, .max, .max, .max, 1, .max, .max, 1, 1, 0]),
    (.fusedGPU, [6, 1, 1, 3, 0, 0, 0, 1, 1, 0]), (.fusedGPU, [4, 4, 1, 1, 1, .min, .min, 1, 1, 0]),
    (.fusedGPU, [64, 64, 32, 4, 0, 0, 0, 0, 0, 1]), (.fusedGPU, [64, 64, 16, 4, 0, 0, 0, 0, 0, 1]),
    (.staged, [16, 16, 4, 1, 4, 6, 128, 4, 4096]), (.staged, [16, 16, 4, 1, 4, 16, 100, 4, 4096]),
    (.staged, [16, 16, 4, 1, 3, 16, 128, 4, 4096]), (.staged, [64, 16, 4, 1, 4, 16, 128, 4, 4096]),
    (.staged, [16, 16, 4, 1, 4, .max, 128, 4, 4096]), (.staged, [16, 16, 4, 1, 4, 16, 128, 4, 0]),
  ]

  @Test("Tiles that are not fit are passed over", arguments: unfit)
  func unfitTiles(family: KernelTiles.Family, sizes: [Int]) throws {
    var device = Self.device(family == .fusedCPU ? .cpu : .gpu)
    let kernel: KernelChoice = family == .staged ? .staged : .fused
    let problem = try Self.problem()
    let table = try Self.plan(problem, device, kernel)
    let tiles = try #require(KernelTiles(family, sizes: sizes, vendor: .other))
    #expect(!tiles.fit(problem, device))
    device.tuning[ProblemClass(problem, family)] = tiles
    #expect(try Self.plan(problem, device, kernel) == table)
  }

  @Test("A row of sizes is as long as its family's heading")
  func sizes() throws {
    for (family, tiles) in try TuningFileTests.tiles() {
      #expect(tiles.family == family)
      #expect(tiles.sizes.count == family.sizeNames.split(separator: " ").count)
      #expect(KernelTiles(family, sizes: tiles.sizes, vendor: .other) == tiles)
      #expect(KernelTiles(family, sizes: tiles.sizes + [1], vendor: .other) == nil)
    }
  }

  @Test("Every row of the tables can be built, on a device of many work-items and much memory")
  func tables() throws {
    let problem = try Self.problem(width: 16)
    for choice in TileTests.tiles {
      #expect(choice.tiles.fit(problem, Self.device(choice.deviceClass, local: 1 << 30)), "\(choice)")
    }
    for vendor in DeviceVendor.allCases {
      for units in [nil] + MatrixUnits.allCases { checkFusedGPU(vendor, units) }
    }
  }

  private func checkFusedGPU(_ vendor: DeviceVendor, _ units: MatrixUnits?) {
    var device = Self.device(.gpu, local: 1 << 30)
    device.matrixUnits = units.map(MatrixUnits.all) ?? [:]
    let all = FusedGPUTiles.candidates(vendor: vendor, headDimension: 16, valueDimension: 16, matrixUnits: units)
    #expect(all.contains { $0.matrixUnits != nil } == (units != nil))
    for tiles in all {
      #expect(tiles.fit(device, .float16, headDimension: 16, valueDimension: 16), "\(tiles)")
    }
  }

  @Test("A step from any row leads to others of the family, some of which fit", arguments: TileTests.tiles)
  func neighbours(choice: TileTests.Choice) throws {
    let device = Self.device(choice.deviceClass)
    let neighbours = choice.tiles.neighbours(on: device)
    #expect(neighbours.allSatisfy { $0.family == choice.tiles.family && $0 != choice.tiles })
    let problem = try Self.problem(width: 16)
    #expect(neighbours.contains { $0.fit(problem, device) })
  }

  /// What is right for a table's rows is right for tiles that a search can come to.
  @Test("Results are right with tiles from a few steps away", arguments: TestDevice.openCL)
  func results(device: TestDevice) throws {
    let engine = try device.engine()
    let named = NamedCall("", CallShape(heads: 2, keyHeads: 1, queries: 45, keys: 70, D: 24)) {
      $0.mask = .causal(.lowerRight)
    }
    let call = try named.call().inOnePass(true)
    let problem = try AttentionProblem(call)
    var profile = try #require(engine.devices.first)
    var tiles = try Self.plan(problem, profile, .fused).tiles
    // Each step takes another direction.
    for step in 0..<3 {
      let fitting = tiles.neighbours(on: profile).filter { $0.fit(problem, profile) }
      tiles = fitting[step * 2 % fitting.count]
    }
    profile.tuning[ProblemClass(problem, try #require(tiles.family))] = tiles
    let plan = try AttentionPlan(problem, devices: [profile])
    #expect(plan.tiles == [tiles])
    do {
      #expect(try Expectation(call).misses(try engine.attention(call, following: plan)) == [], "\(tiles)")
    } catch is TilesRejected {
      // The device is too small for them.
    }
  }
}
