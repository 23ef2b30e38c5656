import Attention
import AttentionTestSupport
import Testing

/// A device of less memory computes the same in more steps.
@Suite("Slices and blocks")
struct SlicingTests {
  /// Sequences of different lengths, so that blocks are cut where heads differ too.
  static let calls: [NamedCall] =
    ElementType.storageTypes.map { type in
      NamedCall("\(type.rawValue) dense, with a mask") { try DeterminismTests.call(type, batch: 2) }
    } + [
      NamedCall("packed") {
        var call = try PackedTests.call(queries: [130, 0, 3, 200], keys: [65, 9, 300, 130])
        call.mask = .causal(.lowerRight).tensor(try MaskTensorTests.mask([4, 1, 200, 300], .bool))
        return call
      },
      NamedCall("block mask") {
        var call = try CallShape(batch: 2, heads: 4, keyHeads: 2, queries: 200, keys: 130).call()
        call.mask = .blocks(try BlockMaskTests.mask([2, 4], 200, 130, 48, 20))
        return call
      },
      NamedCall("masks of one row and of one column") {
        var call = try CallShape(form: .bshd, batch: 2, heads: 4, queries: 200, keys: 130).call()
        call.mask = .tensor(try MaskTensorTests.mask([4, 200, 1], .float16))
        return call
      },
    ]

  /// The device's profile with less memory: of the largest buffer, and in all.
  struct Limits: Sendable, CustomStringConvertible {
    let maxAllocation: Int
    let globalMemory: Int
    var description: String { "\(maxAllocation >> 10) KiB a buffer, \(globalMemory >> 10) KiB in all" }
  }

  static let limits = [
    Limits(maxAllocation: 200 << 10, globalMemory: 1 << 30), Limits(maxAllocation: 1 << 30, globalMemory: 700 << 10),
    Limits(maxAllocation: 400 << 10, globalMemory: 4 << 20),
  ]

  @Test("The bits of one piece", arguments: TestDevice.all, calls)
  func sliced(device: TestDevice, call: NamedCall) throws {
    let (engine, call, kernel) = (
      try device.engine(), try call.call().inOnePass(device.kernel == .auto), device.kernel
    )
    let problem = try AttentionProblem(call)
    let whole = try engine.attention(call)
    // As the engine plans for it now: by now it knows the tiles that the device rejects.
    let device = try #require(try engine.plan(problem).parts.first?.device)
    var cut = false
    for limits in Self.limits {
      var profile = device
      // (AMX's tiles have more rows, and a slice is one of them at least. The CPU backend has nothing to cut but the packed keys of
      // several heads, and where all workers have room for their own not even those.)
      profile.maxAllocation =
        limits.maxAllocation * (device.amx == .none ? 1 : 2) / (device.deviceClass == .native ? 8 : 1)
      profile.globalMemory = limits.globalMemory
      let plan = try AttentionPlan(problem, devices: [profile], kernel: kernel)
      cut = cut || plan.pieceCount > 1
      #expect(try engine.attention(call, following: plan).differences(from: whole) == [], "\(limits)")
    }
    #expect(cut, "no limit cut anything")
  }

  @Test("Heads divided between a device and the reference keep each one's bits", arguments: TestDevice.all)
  func divided(device: TestDevice) throws {
    let call = try DeterminismTests.call(.float32, batch: 2).inOnePass(device.kernel == .auto)
    let problem = try AttentionProblem(call)
    let engine = try AttentionEngine(device: .named([device.name, "reference"]), kernel: device.kernel)
    _ = try engine.attention(call)
    var profiles = try engine.plan(problem).parts.map(\.device)
    // Of equal speed, so that each gets half of the twelve heads.
    for index in profiles.indices {
      profiles[index].computeUnits = profiles[index].deviceClass == .reference ? 32 : 1
      profiles[index].clockMHz = profiles[index].deviceClass == .gpu ? 250 : 1000
      profiles[index].vectorWidth = profiles[index].deviceClass == .native ? 8 : profiles[index].vectorWidth
    }
    let plan = try AttentionPlan(problem, devices: profiles, kernel: device.kernel)
    #expect(plan.parts.map(\.heads) == [0..<6, 6..<12])
    let both = try engine.attention(call, following: plan)
    let parts = [try device.attention(call), try TestDevice.reference.attention(call)]
    for (part, result) in zip(plan.parts, parts) {
      for (found, own) in zip(both.tensors, result.tensors) {
        let (found, own) = (found.bits, own.bits)
        let range = part.heads.lowerBound * found.count / 12..<part.heads.upperBound * found.count / 12
        #expect(found[range] == own[range], "\(part.device.identifier)")
      }
    }
  }
}

extension AttentionResult {
  /// Every tensor that was returned.
  fileprivate var tensors: [Tensor] {
    [output, logSumExp, weights, scores, topKeys, topWeights, received].compactMap { $0 }
  }
}

extension AttentionPlan {
  private var kernels: [DevicePlan] {
    parts.compactMap { part in
      guard case .kernels(let plan) = part.work else { return nil }
      return plan
    }
  }

  /// Slices of an OpenCL device's blocks, and blocks of the CPU backend.
  fileprivate var pieceCount: Int {
    parts.reduce(0) { count, part in
      switch part.work {
      case .reference: count + 1
      case .cpu(let plan): count + plan.blocks.count
      case .kernels(let plan): count + plan.blocks.reduce(0) { $0 + $1.slices.count }
      }
    }
  }

  /// The tiles of every part with kernels.
  var tiles: [KernelTiles] { kernels.map(\.tiles) }
}
