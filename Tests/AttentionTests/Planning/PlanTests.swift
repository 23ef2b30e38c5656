import Attention
import AttentionTestSupport
import OpenCL
import Testing

/// Plans are functions of values: no device is needed to see what they do.
@Suite("Plans")
struct PlanTests {
  static func gpu(
    _ identifier: String = "gpu", units: Int = 20, memory: Int = 8 << 30, largest: Int = 2 << 30, local: Int = 64 << 10,
    items: Int = 1024, unified: Bool = false
  ) -> DeviceProfile {
    DeviceProfile(
      identifier: identifier, name: identifier, deviceClass: .gpu, computeUnits: units, globalMemory: memory,
      maxAllocation: largest, localMemory: local, maxWorkGroupSize: items, hostUnifiedMemory: unified)
  }

  static let reference = DeviceProfile(identifier: "reference", name: "reference", deviceClass: .reference)

  static func problem(batch: Int = 1, heads: Int = 8, length: Int = 512) throws -> AttentionProblem {
    try AttentionProblem(
      batch: batch, queryHeads: heads, keyValueHeads: heads, queryLength: length, keyLength: length, headDimension: 64,
      valueDimension: 64, elementType: .float32)
  }

  @Test("A processor is of the class of CPUs, unless its driver runs it as a GPU")
  func classes() {
    for (platform, kind, expected) in [
      ("Portable Computing Language", DeviceKind.cpu, DeviceProfile.DeviceClass.cpu), ("rusticl", .cpu, .gpu),
      ("rusticl", .gpu, .gpu), ("NVIDIA CUDA", .gpu, .gpu),
    ] {
      #expect(
        DeviceProfile.DeviceClass(DeviceInfo(name: "", platformName: platform, kind: kind, computeUnits: 1)) == expected
      )
    }
  }

  @Test("The reference needs no kernels")
  func onReference() throws {
    let plan = try AttentionPlan(try Self.problem(), devices: [Self.reference])
    let part = try #require(plan.parts.first)
    #expect(plan.parts.count == 1 && part.device == Self.reference && part.heads == 0..<8 && part.work == .reference)
  }

  @Test("No device")
  func none() throws {
    let problem = try Self.problem()
    #expect(throws: AttentionError.noDevice(requested: "none", available: [])) {
      try AttentionPlan(problem, devices: [])
    }
  }

  @Test("Heads in proportion to speed")
  func proportion() throws {
    let devices = [Self.gpu("a", units: 30), Self.gpu("b", units: 10)]
    let plan = try AttentionPlan(try Self.problem(), devices: devices)
    #expect(plan.parts.map(\.heads) == [0..<6, 6..<8])
    #expect(plan.parts.map(\.device.identifier) == ["a", "b"])
  }

  @Test("However slow, a device gets a head", arguments: 1...5)
  func everyDevice(count: Int) throws {
    let devices = (0..<count).map { Self.gpu("\($0)", units: $0 == 2 ? 10_000 : 1) }
    let plan = try AttentionPlan(try Self.problem(heads: 5), devices: devices)
    #expect(plan.parts.map(\.device.identifier) == devices.map(\.identifier))
    #expect(plan.parts.flatMap(\.heads) == Array(0..<5))
  }

  @Test("Fewer heads than devices: the first ones get them")
  func fewHeads() throws {
    let devices = (0..<4).map { Self.gpu("\($0)") }
    let plan = try AttentionPlan(try Self.problem(heads: 2), devices: devices)
    #expect(plan.parts.flatMap(\.heads) == [0, 1])
    #expect(plan.parts.allSatisfy { $0.heads.count == 1 })
  }

  @Test("No heads: nothing to do")
  func noHeads() throws {
    #expect(try AttentionPlan(try Self.problem(batch: 0), devices: [Self.gpu()]).parts.isEmpty)
  }

  @Test("Tiles shrink with local memory and work-groups", arguments: [DeviceProfile.DeviceClass.gpu, .cpu])
  func tiles(deviceClass: DeviceProfile.DeviceClass) throws {
    for tiles in StagedTiles.candidates(for: deviceClass) {
      var device = Self.gpu(local: tiles.localBytes, items: max(tiles.groupItems, tiles.softmaxItems))
      device.deviceClass = deviceClass
      let chosen = try #require(try AttentionPlan(try Self.problem(), devices: [device], kernel: .staged).tiles.first)
      #expect(chosen == StagedTiles.candidates(for: deviceClass).first { $0.fit(device) }.map(KernelTiles.staged))
    }
  }

  @Test("Tiles that a device rejected are not tried again", arguments: [DeviceProfile.DeviceClass.gpu, .cpu])
  func rejectedTiles(deviceClass: DeviceProfile.DeviceClass) throws {
    var device = Self.gpu(local: 1 << 20)
    device.deviceClass = deviceClass
    let problem = try Self.problem()
    for kernel in [KernelChoice.staged, .fused, .auto] {
      device.rejectedTiles = []
      let candidates = KernelTiles.candidates(for: problem, on: device, kernel: kernel)
      for tiles in candidates {
        #expect(try AttentionPlan(problem, devices: [device], kernel: kernel).tiles == [tiles])
        device.rejectedTiles.append(tiles)
      }
      #expect(throws: AttentionError.self) { try AttentionPlan(problem, devices: [device], kernel: kernel) }
    }
  }

  @Test(
    "Rows of whole fours are aligned",
    arguments: [(64, 64, true), (80, 12, true), (64, 30, false), (7, 64, false)])
  func alignment(width: Int, valueWidth: Int, aligned: Bool) throws {
    let problem = try AttentionProblem(
      batch: 1, queryHeads: 1, keyValueHeads: 1, queryLength: 5, keyLength: 5, headDimension: width,
      valueDimension: valueWidth, elementType: .float16)
    let plan = try AttentionPlan(problem, devices: [Self.gpu()])
    guard case .kernels(let kernels) = try #require(plan.parts.first).work else {
      Issue.record("no kernels")
      return
    }
    #expect(kernels.aligned == aligned)
  }

  @Test(
    "A device that is too small cannot run",
    arguments: [
      ("local memory", gpu(local: 100)), ("work-group", gpu(items: 0)), ("largest buffer", gpu(largest: 64 << 10)),
      ("memory", gpu(memory: 200 << 10)),
    ])
  func tooSmall(what: String, device: DeviceProfile) throws {
    let problem = try Self.problem()
    let error = #expect(throws: AttentionError.self) { try AttentionPlan(problem, devices: [device]) }
    guard case .cannotRun("gpu", let reason) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(!reason.isEmpty)
  }

  @Test("One pass is the default, and the score matrix where it is asked for")
  func defaultKernel() throws {
    var device = Self.gpu(local: 1 << 20)
    device.deviceClass = .cpu
    func names(_ outputs: AttentionOutputs, _ kernel: KernelChoice, queries: Int = 17) throws -> [String] {
      let problem = try AttentionProblem(
        batch: 1, queryHeads: 1, keyValueHeads: 1, queryLength: queries, keyLength: 5, headDimension: 8,
        valueDimension: 8, elementType: .float32, outputs: outputs)
      return try AttentionPlan(problem, devices: [device], kernel: kernel).parts.map(\.kernelName)
    }
    #expect(try names([.output, .logSumExp], .auto) == ["fused"])
    #expect(try names([.output, .logSumExp], .auto, queries: 16) == ["decode"])
    #expect(try names([.output, .topKeys], .auto, queries: 16) == ["fused"])
    #expect(try names(.output, .decode) == ["decode"])
    #expect(try names(.weights, .decode) == ["staged"])
    #expect(try names([.output, .weights], .auto) == ["staged"])
    #expect(try names(.scores, .auto) == ["staged"])
    #expect(try names(.output, .staged) == ["staged"])
    #expect(try names(.weights, .fused) == ["staged"])
    #expect(try names(.logSumExp, .fused) == ["fused"])
  }

  @Test("One device that is too small fails the plan")
  func oneTooSmall() throws {
    let problem = try Self.problem()
    #expect(throws: AttentionError.self) {
      try AttentionPlan(problem, devices: [Self.gpu("a"), Self.gpu("b", local: 100)])
    }
  }

  @Test("A plan is a function of its arguments")
  func equal() throws {
    let problem = try Self.problem(batch: 3, length: 5000)
    let devices = [Self.gpu("a", units: 7), Self.gpu("b", units: 3)]
    let plan = try AttentionPlan(problem, devices: devices)
    #expect(try AttentionPlan(problem, devices: devices) == plan)
  }
}
