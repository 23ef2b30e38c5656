import Attention
import AttentionTestSupport
import OpenCL
import Testing

/// The fused kernel of matrix units: a GPU's where the device has them, and emulated where it has not.
@Suite("Matrix units")
struct MatrixUnitTests {
  static let types: [ElementType] = [.float16, .bfloat16]

  /// The call computed by a kind of matrix units; nil where the device is too small for their tiles, or its vendor's but not
  /// its own: those are neither there nor emulated.
  ///
  /// - Parameter warpRows: Rows of a warp of the tiles that are taken; nil: the best.
  static func attention(
    _ call: AttentionCall, by units: MatrixUnits, warpRows: Int? = nil, on device: TestDevice
  ) throws -> AttentionResult? {
    let engine = try device.engine()
    let problem = try AttentionProblem(call)
    var profile = try #require(engine.devices.first)
    if units.vendor == profile.vendor, profile.matrixUnits[problem.elementType] != units { return nil }
    profile.deviceClass = .gpu
    profile.matrixUnits = MatrixUnits.all(units)
    if let warpRows {
      profile.rejectedTiles = KernelTiles.candidates(for: problem, on: profile, kernel: .fused).filter {
        guard case .fusedGPU(let tiles) = $0 else { return true }
        return tiles.tileRows != warpRows * tiles.groupY
      }
    }
    let plan = try AttentionPlan(problem, devices: [profile], kernel: .fused)
    guard case .fusedGPU(let tiles)? = plan.tiles.first, tiles.matrixUnits == units else {
      #expect(profile.localMemory < 40 << 10, "their tiles would fit")
      return nil
    }
    return try engine.attention(call, following: plan)
  }

  /// Dimensions 64 with everything else, for each program takes long to build; others once.
  static func calls(_ type: ElementType) -> [NamedCall] {
    [(1, 1), (2, 3), (3, 17), (17, 2), (63, 65), (65, 63), (127, 129), (129, 127), (130, 257), (20, 1000)].map {
      NamedCall("\($0)×\($1)", CallShape(type, queries: $0, keys: $1, D: 64))
    } + modified(type)
  }

  private static func modified(_ type: ElementType) -> [NamedCall] {
    [
      NamedCall("causal", CallShape(type, heads: 4, keyHeads: 2, queries: 129, keys: 129, D: 64)) {
        $0.mask = .causal(.upperLeft)
      },
      NamedCall("masked", CallShape(type, batch: 2, heads: 4, keyHeads: 2, queries: 67, keys: 131, D: 64)) {
        $0.mask = .causal(.lowerRight).tensor(try MaskTensorTests.mask([2, 4, 67, 131], .bfloat16))
        $0.sinks = [0, 1, -.infinity, 2]
        $0.softcap = 3
        $0.alibiSlopes = [0.5, 0.25, 0.125, 0]
      },
      NamedCall("window", CallShape(type, queries: 200, keys: 200, D: 64)) { $0.mask = .window(left: 20, right: 5) },
      NamedCall("lengths", CallShape(type, batch: 3, queries: 40, keys: 70, D: 64)) { $0.keyLengths = [70, 0, 33] },
      NamedCall("negative scale", CallShape(type, queries: 40, keys: 70, D: 64)) { $0.scale = -0.3 },
      NamedCall("blocks", CallShape(type, queries: 100, keys: 150, D: 64)) {
        let grid = try BlockGrid(queryLength: 100, keyLength: 150, queryBlock: 16, keyBlock: 24)
        $0.mask = .blocks(try BlockMask.slidingWindow(on: grid, left: 20, right: 10))
      },
      NamedCall("packed") {
        var call = try PackedTests.call(type, queries: [17, 0, 65], keys: [30, 7, 65], width: 64)
        call.mask = .causal(.lowerRight)
        return call
      },
    ]
  }

  /// Other dimensions: not multiples of a step or a block, and as wide as the tiles that differ.
  private static func widths(_ units: MatrixUnits) -> [CallShape] {
    let uneven = CallShape(.float16, queries: 65, keys: 66, D: 72, Dv: 24)
    let wide = CallShape(.float16, queries: 33, keys: 70, D: 136, Dv: 256)
    let broad = CallShape(.bfloat16, queries: 65, keys: 130, D: 128)
    return switch units {
    case .mma: [CallShape(.float16, queries: 65, keys: 66, D: 8), uneven, broad, wide]
    case .mfma: [wide]
    case .wmma: [uneven]
    case .wmma12: [broad]
    }
  }

  @Test("Against float64", arguments: TestDevice.openCL, MatrixUnits.allCases)
  func grid(device: TestDevice, units: MatrixUnits) throws {
    let widths = Self.widths(units).map { NamedCall("\($0)", $0) }
    for named in Self.types.flatMap(Self.calls) + widths {
      let call = try named.call().inOnePass(true)
      guard let result = try Self.attention(call, by: units, on: device) else { continue }
      #expect(try Expectation(call).misses(result) == [], "\(named)")
    }
  }

  @Test("Warps of 32 rows against float64", arguments: TestDevice.openCL)
  func largeWarps(device: TestDevice) throws {
    let type = ElementType.float16
    let shapes = [(1, 1), (31, 17), (129, 127), (300, 65)].map {
      NamedCall("\($0)×\($1)", CallShape(type, queries: $0, keys: $1, D: 64))
    }
    for named in shapes + Self.modified(type) {
      let call = try named.call().inOnePass(true)
      guard let result = try Self.attention(call, by: .mma, warpRows: 32, on: device) else { continue }
      #expect(try Expectation(call).misses(result) == [], "\(named)")
    }
  }

  /// Weights of 11 or 8 bits would round most elements of the output otherwise than float32 does.
  @Test("Weights are those of float32, not of the storage type", arguments: TestDevice.openCL, MatrixUnits.allCases)
  func precision(device: TestDevice, units: MatrixUnits) throws {
    for type in Self.types {
      let call = try CallShape(type, queries: 64, keys: 300, D: 64).call(returning: .output)
      guard let found = try Self.attention(call, by: units, on: device)?.output else { return }
      let wanted = try #require(try Expectation(call).results.output).converted(to: type)
      let others = zip(found.bits, wanted.bits).filter { $0 != $1 }.count
      #expect(others < wanted.bits.count / 20, "\(others) of \(wanted.bits.count) bytes")
    }
  }

  @Test("Small weights beside a large one are not lost", arguments: TestDevice.openCL, MatrixUnits.allCases)
  func smallWeights(device: TestDevice, units: MatrixUnits) throws {
    // Key 0 has the score 16; each of 2,000 others 2⁻²³ of its weight, below what float16 tells from 0 beside 1 — together
    // they are 2.4e-4 of the sum, and of the output, whose value is theirs alone.
    let keys = 2001
    let query = try Tensor([16] + Array(repeating: Float(0), count: 63), shape: [1, 1, 1, 64], as: .float16)
    let key = try Tensor(
      (0..<keys * 64).map { $0 % 64 == 0 ? ($0 == 0 ? 1 : Float(0.0035)) : 0 }, shape: [1, 1, keys, 64], as: .float16)
    let value = try Tensor((0..<keys * 64).map { $0 < 64 ? 0 : 1 }, shape: [1, 1, keys, 64], as: .float16)
    var call = AttentionCall(query: query, key: key, value: value)
    call.scale = 1
    call.returning = [.output, .logSumExp]
    guard let result = try Self.attention(call, by: units, on: device) else { return }
    let found = try #require(result.output).doubles()
    let wanted = try #require(try Expectation(call).results.output).doubles()
    for (found, wanted) in zip(found, wanted) { #expect(abs(found - wanted) <= 1e-3 * wanted) }
  }

  /// A mask of the least number on a whole row hides nothing: its keys are alike.
  @Test("Rows all of whose scores are large", arguments: TestDevice.openCL, MatrixUnits.allCases)
  func largeScores(device: TestDevice, units: MatrixUnits) throws {
    for bias in [-Float.greatestFiniteMagnitude, -1e10, -1e8, 3e9] {
      var call = try CallShape(.float16, queries: 20, keys: 70, D: 64).call(returning: [.output, .logSumExp])
      let mask = (0..<20 * 70).map { $0 / 70 % 3 == 1 ? bias : 0 }
      call.mask = .tensor(try Tensor(mask, shape: [20, 70]))
      // (Float64 tells scores apart that float32 does not, beside such numbers.)
      call.scale = 0
      guard let result = try Self.attention(call, by: units, on: device) else { return }
      #expect(try Expectation(call, naive: false).misses(result) == [], "\(bias)")
    }
  }

  @Test(
    "Values that are not finite reach the rows that see them, and no other", arguments: TestDevice.openCL,
    MatrixUnits.allCases)
  func nonFinite(device: TestDevice, units: MatrixUnits) throws {
    for type in Self.types { try nonFinite(type, units, device) }
  }

  private func nonFinite(_ type: ElementType, _ units: MatrixUnits, _ device: TestDevice) throws {
    // A key that some rows of a tile see and others do not.
    for (keys, value) in [(5, Float.nan), (20, .infinity), (70, -.infinity), (150, .infinity)] {
      for mask in [AttentionMask.none, .causal(.lowerRight), .window(left: 3)] {
        var call = try CallShape(type, queries: 66, keys: keys, D: 64).call(returning: [.output, .logSumExp])
        call.operands = .separate(
          query: try call.query.replacing([0, 0, 4, 1], with: .nan), key: call.key,
          value: try call.value.replacing([0, 1, max(0, keys - 20), 2], with: value))
        call.mask = mask
        guard let result = try Self.attention(call, by: units, on: device) else { return }
        #expect(try Expectation(call, naive: false).misses(result) == [], "\(keys) keys, \(mask)")
      }
    }
  }

  @Test("The same bits again, and whatever is beside them", arguments: TestDevice.openCL, MatrixUnits.allCases)
  func sameBits(device: TestDevice, units: MatrixUnits) throws {
    let batch = try CallShape(.float16, batch: 2, queries: 70, keys: 90, D: 64).call(returning: [.output, .logSumExp])
    guard let first = try Self.attention(batch, by: units, on: device) else { return }
    let again = try #require(try Self.attention(batch, by: units, on: device))
    #expect(first.output?.bits == again.output?.bits)
    var alone = batch
    func second(_ tensor: Tensor) throws -> Tensor {
      let floats = tensor.floats()
      return try Tensor(
        Array(floats[(floats.count / 2)...]), shape: [1] + tensor.shape.dropFirst(), as: tensor.elementType)
    }
    alone.operands = .separate(
      query: try second(batch.query), key: try second(batch.key), value: try second(batch.value))
    let own = try #require(try Self.attention(alone, by: units, on: device))
    let bits = try #require(first.output).bits
    #expect(own.output.map { Array($0.bits) } == Array(bits[(bits.count / 2)...]))
  }

  @Test("What differs from its description does not pass the trial", arguments: TestDevice.openCL)
  func trial(device: TestDevice) throws {
    let engine = try device.engine()
    let found = try #require(try Device.all().first { $0.identifier == engine.devices.first?.identifier })
    let context = try Context(found)
    let sources = [
      "common", "modifiers", "online_softmax", "key_tiles", "matrix_units", "matrix_units_amd", "fused_mma",
    ]
    let text = try sources.map { try #require(KernelSource.text(named: $0)) }.joined(separator: "\n")
    let tiles = try #require(FusedGPUTiles(sizes: [64, 16, 32, 4, 0, 0, 0, 0, 0, 4], vendor: .other))
    let trial = try MatrixUnitTrial(tiles, .float16, headDimension: 16, valueDimension: 16)
    func passes(_ what: String, _ other: String) throws -> Bool {
      #expect(text.contains(what))
      let options =
        ["-cl-std=CL1.2", "-DSTORAGE=1", "-DHEAD_DIMENSION=16", "-DVALUE_DIMENSION=16", "-DALIGNED"] + tiles.options
      let program = try Program(
        context, sources: [], text: text.replacing(what, with: other), options: options.joined(separator: " "))
      return try trial.passes(Kernel(program, "fused_mma"), context)
    }
    // As it is; with a lane's numbers of C in another order; and with what is small taken for 0.
    let sum = "c)[e] += left.x * right.x"
    #expect(try passes(sum, sum))
    #expect(try !passes(sum, "c)[e ^ 1] += left.x * right.x"))
    #expect(try !passes(sum, "c)[e] += (fabs(left.x) < 0x1p-14f ? 0 : left.x) * right.x"))
  }

  @Test("A compiler that does not know them is no error of the call", arguments: TestDevice.openCL)
  func unknownInstructions(device: TestDevice) throws {
    let engine = try device.engine()
    let call = try CallShape(.float16, D: 16).call(returning: .output)
    var profile = try #require(engine.devices.first)
    guard profile.vendor == .other else { return }
    // As on a GPU of AMD, whose own instructions are not emulated.
    profile.deviceClass = .gpu
    profile.vendor = .amd
    profile.matrixUnits = MatrixUnits.all(.wmma)
    let plan = try AttentionPlan(AttentionProblem(call), devices: [profile], kernel: .fused)
    let rejected = try #require(throws: TilesRejected.self) { try engine.attention(call, following: plan) }
    #expect(rejected.matrixUnits?.type == .float16)
    #expect(rejected.matrixUnits?.reason == "its compiler does not know them")
  }

  @Test("Planned for 16 bits, rows of 16 bytes and devices that have them")
  func planning() throws {
    func units(_ device: String, _ shape: CallShape) throws -> MatrixUnits? {
      let device = try #require(DeviceProfile.gpuModels.first { $0.identifier == device })
      let problem = try AttentionProblem(try shape.call(returning: .output))
      guard case .fusedGPU(let tiles)? = try AttentionPlan(problem, devices: [device], kernel: .fused).tiles.first
      else {
        return nil
      }
      return tiles.matrixUnits
    }
    #expect(try units("sm_80", CallShape(.float16, D: 64)) == .mma)
    #expect(try units("sm_80", CallShape(.bfloat16, D: 8, Dv: 256)) == .mma)
    #expect(try units("sm_80", CallShape(.float32, D: 64)) == nil)
    #expect(try units("sm_80", CallShape(.float16, D: 60)) == nil)
    #expect(try units("sm_80", CallShape(.float16, D: 64, Dv: 12)) == nil)
    #expect(try units("sm_80", CallShape(.float16, D: 264)) == nil)
    #expect(try units("sm_70", CallShape(.float16, D: 64)) == nil)
    #expect(try units("gfx906", CallShape(.float16, D: 64)) == nil)
    #expect(try units("gfx90a", CallShape(.float16, D: 64)) == nil)
    #expect(try units("gfx90a", CallShape(.bfloat16, D: 64)) == .mfma)
    #expect(try units("gfx942", CallShape(.float16, D: 256)) == .mfma)
    #expect(try units("gfx1030", CallShape(.float16, D: 64)) == nil)
    #expect(try units("gfx1100", CallShape(.float16, D: 128)) == .wmma)
    #expect(try units("gfx1201", CallShape(.bfloat16, D: 128)) == .wmma12)
    #expect(try units("gfx1201", CallShape(.bfloat16, D: 136)) == nil)
    #expect(try units("pvc", CallShape(.float16, D: 64)) == nil)
  }
}
