import Attention
import AttentionTestSupport
import Testing

/// The fused kernels of CPU-class devices: by vectors, by AMX where the processor has it, and by AMX in OpenCL C.
@Suite("Tiles of CPU-class devices")
struct CPUTileTests {
  static let types: [ElementType] = [.float32, .float16, .bfloat16]
  static let ways: [AMX] = [.none, .native, .emulated]

  /// The call computed in one of the ways; nil where the device has no AMX, is no processor, or too small for the tiles.
  static func attention(_ call: AttentionCall, _ amx: AMX, on device: TestDevice) throws -> AttentionResult? {
    let engine = try device.engine()
    var profile = try #require(engine.devices.first)
    guard profile.deviceClass == .cpu, amx != .native || profile.amx == .native else { return nil }
    profile.amx = amx
    if amx == .emulated { profile.vectorWidth = 16 }
    let plan = try AttentionPlan(AttentionProblem(call), devices: [profile], kernel: .fused)
    guard case .fusedCPU(let tiles)? = plan.tiles.first, tiles.amx == amx else {
      #expect(profile.localMemory < 512 << 10, "their tiles would fit")
      return nil
    }
    return try engine.attention(call, following: plan)
  }

  /// Dimensions that are not multiples of a tile, wider and narrower.
  private static func widths(_ type: ElementType) -> [CallShape] {
    [
      CallShape(type, queries: 65, keys: 66, D: 7), CallShape(type, queries: 40, keys: 300, D: 72, Dv: 24),
      CallShape(type, queries: 33, keys: 70, D: 17, Dv: 130),
      CallShape(type, heads: 4, keyHeads: 2, queries: 140, keys: 140, D: 128),
    ]
  }

  @Test("Against float64", arguments: TestDevice.openCL, ways)
  func grid(device: TestDevice, way: AMX) throws {
    for type in Self.types {
      for named in MatrixUnitTests.calls(type) + Self.widths(type).map({ NamedCall("\($0)", $0) }) {
        let call = try named.call().inOnePass(true)
        guard let result = try Self.attention(call, way, on: device) else { return }
        #expect(try Expectation(call).misses(result) == [], "\(type.rawValue), \(named)")
      }
    }
  }

  @Test("Numbers that are not finite reach the rows that see them, and no other", arguments: TestDevice.openCL, ways)
  func nonFinite(device: TestDevice, way: AMX) throws {
    for type in Self.types {
      for (keys, number) in [(5, Float.nan), (70, -.infinity), (300, .infinity)] {
        for mask in [AttentionMask.none, .causal(.lowerRight), .window(left: 3)] {
          var call = try CallShape(type, queries: 66, keys: keys, D: 64).call(returning: [.output, .logSumExp])
          call.operands = .separate(
            query: try call.query.replacing([0, 0, 4, 1], with: .nan),
            key: try call.key.replacing([0, 0, keys / 2, 0], with: number),
            value: try call.value.replacing([0, 1, max(0, keys - 20), 2], with: number))
          call.mask = mask
          guard let result = try Self.attention(call, way, on: device) else { return }
          #expect(try Expectation(call, naive: false).misses(result) == [], "\(type.rawValue), \(keys) keys, \(mask)")
        }
      }
    }
  }

  /// Parts of bfloat16 would lose the last bits of the smallest, and overflow beside the largest.
  @Test("Numbers near the ends of float32", arguments: TestDevice.openCL, ways)
  func magnitudes(device: TestDevice, way: AMX) throws {
    for (keyExponent, valueExponent) in [(-120, 0), (-62, 0), (62, 0), (100, 0), (0, -120), (0, 120), (-30, 30)] {
      var call = try CallShape(.float32, queries: 20, keys: 300, D: 32).call(returning: .output)
      let plain = try #require(try Expectation(call).results.output).doubles()
      func scaled(_ tensor: Tensor, _ exponent: Int) throws -> Tensor {
        let factor = Float(sign: .plus, exponent: exponent, significand: 1)
        return try Tensor(tensor.floats().map { $0 * factor }, shape: tensor.shape, as: .float32)
      }
      call.operands = .separate(
        query: try scaled(call.query, -keyExponent), key: try scaled(call.key, keyExponent),
        value: try scaled(call.value, valueExponent))
      guard let result = try Self.attention(call, way, on: device) else { return }
      let unit = Double(sign: .plus, exponent: valueExponent, significand: 1)
      for (found, wanted) in zip(try #require(result.output).doubles(), plain) {
        #expect(abs(found / unit - wanted) <= 2e-6, "keys · 2^\(keyExponent), values · 2^\(valueExponent)")
      }
    }
  }

  @Test("Weights of 16-bit types are those of float32", arguments: TestDevice.openCL, ways)
  func precision(device: TestDevice, way: AMX) throws {
    for type in MatrixUnitTests.types {
      let call = try CallShape(type, queries: 64, keys: 300, D: 64).call(returning: .output)
      guard let found = try Self.attention(call, way, on: device)?.output else { return }
      let wanted = try #require(try Expectation(call).results.output).converted(to: type)
      let others = zip(found.bits, wanted.bits).filter { $0 != $1 }.count
      #expect(others < wanted.bits.count / 20, "\(others) of \(wanted.bits.count) bytes")
    }
  }

  @Test("AMX is planned where a device has it, and only there")
  func planning() throws {
    let problem = try AttentionProblem(try CallShape(.float32, D: 64).call(returning: .output))
    var profile = DeviceProfile(
      identifier: "opencl:0:0", name: "a processor", deviceClass: .cpu, localMemory: 2 << 20, vectorWidth: 16)
    func amx() throws -> AMX? {
      guard case .fusedCPU(let tiles)? = try AttentionPlan(problem, devices: [profile], kernel: .fused).tiles.first
      else {
        return nil
      }
      return tiles.amx
    }
    #expect(try amx() == AMX.none)
    profile.amx = .native
    #expect(try amx() == .native)
    profile.localMemory = 256 << 10
    #expect(try amx() == AMX.none, "its tiles do not fit")
  }

  @Test("Keys packed a part at a time: the bits of keys packed once", arguments: TestDevice.openCL, ways)
  func parts(device: TestDevice, way: AMX) throws {
    let narrow = AttentionMask.causal(.lowerRight).window(left: 50)
    for mask in [narrow, narrow.tensor(try MaskTensorTests.mask([2700, 2700], .bool))] {
      var call = try CallShape(.float32, heads: 4, queries: 2700, keys: 2700, D: 64, Dv: 60).call().inOnePass(true)
      call.mask = mask
      call.returning = [.output, .logSumExp]
      // In a tile of keys that two parts pack.
      let value = try call.value.replacing([0, 1, 2010, 7], with: .infinity)
      call.operands = .separate(query: call.query, key: call.key, value: value)
      let tiles = try #require(FusedCPUTiles.candidates(vectorWidth: 16, amx: way).first)
      #expect(tiles.parts(try AttentionProblem(call), heads: 0..<4)?.count ?? 0 > 1)
      guard let inParts = try Self.attention(call, way, on: device) else { return }
      #expect(try Expectation(call, naive: false).misses(inParts) == [], "\(mask)")
      // What walks all keys again has them packed once. (With a mask it goes another way.)
      guard mask.tensor == nil else { continue }
      call.returning.insert(.topKeys)
      call.topKeyCount = 1
      let atOnce = try #require(try Self.attention(call, way, on: device))
      #expect(atOnce.output?.bits == inParts.output?.bits && atOnce.logSumExp?.bits == inParts.logSumExp?.bits)
    }
  }
}
