import Attention
import AttentionTestSupport
import Testing

@Suite("CPU backend")
struct CPUBackendTests {
  /// Calls that are decoded, over ends of splits, and one that is not.
  static let calls: [NamedCall] =
    ElementType.storageTypes.flatMap { type in
      [1, 3, 16, 17].map { queries in
        NamedCall(
          "\(type.rawValue), \(queries) queries, grouped, causal",
          CallShape(type, batch: 2, heads: 6, keyHeads: 2, queries: queries, keys: 700, D: 64)
        ) { $0.mask = .causal(.lowerRight) }
      }
    } + [
      NamedCall("a group larger than a pass", CallShape(heads: 40, keyHeads: 1, queries: 5, keys: 257, D: 32)),
      NamedCall("Dv of an odd number of vectors", CallShape(.float16, queries: 2, keys: 300, D: 96, Dv: 16)),
      NamedCall("a dimension that is no whole vector", CallShape(queries: 1, keys: 300, D: 33)),
      NamedCall("keys that end at a split", CallShape(queries: 1, keys: 512, D: 64)),
      NamedCall("a window far from the first key", CallShape(queries: 4, keys: 1500, D: 64)) {
        $0.mask = .causal(.lowerRight).window(left: 300)
      },
      NamedCall("softcap, ALiBi, sinks and a mask", CallShape(heads: 4, keyHeads: 2, queries: 3, keys: 600, D: 64)) {
        $0.softcap = 5
        $0.alibiSlopes = [0.5, 0.25, 0.125, 0.1]
        $0.sinks = [1, -2, 0, 3]
        $0.mask = .tensor(try MaskTensorTests.mask([4, 3, 600], .bfloat16))
      },
      NamedCall("blocks", CallShape(queries: 7, keys: 600, D: 64)) {
        $0.mask = .blocks(try BlockMaskTests.mask([2], 7, 600, 3, 50))
      },
      NamedCall("key lengths", CallShape(batch: 4, queries: 2, keys: 600, D: 64)) { $0.keyLengths = [0, 1, 256, 599] },
    ]

  @Test("Few queries", arguments: InstructionSet.available, calls)
  func fewQueries(set: InstructionSet, call: NamedCall) throws {
    let call = try call.call()
    let engine = try AttentionEngine(device: .named(["cpu:\(set.rawValue)"]))
    #expect(try Expectation(call).misses(try engine.attention(call)) == [])
  }

  @Test("Equal bits for any number of threads", arguments: InstructionSet.available)
  func threads(set: InstructionSet) throws {
    let engines = try [1, 2, 3, 8].map { try AttentionEngine(device: .named(["cpu:\(set.rawValue)"]), threads: $0) }
    let calls = try Self.calls.map { try $0.call() } + [try DeterminismTests.call(.float32)]
    for call in calls {
      let first = try engines[0].attention(call)
      for engine in engines.dropFirst() {
        #expect(try engine.attention(call).differences(from: first) == [])
      }
    }
  }

  @Test("What else is asked for leaves the output and the log-sum-exp alone", arguments: InstructionSet.available)
  func alone(set: InstructionSet) throws {
    let engine = try AttentionEngine(device: .named(["cpu:\(set.rawValue)"]))
    for call in try Self.calls.map({ try $0.call() }) {
      let all = try engine.attention(call)
      let alone = try engine.attention(call.inOnePass(true))
      #expect(alone.output?.bits == all.output?.bits && alone.logSumExp?.bits == all.logSumExp?.bits)
    }
  }

  @Test("Calls awaited by many tasks")
  func awaited() async throws {
    let engine = try AttentionEngine(device: .named(["cpu"]), threads: 2)
    let call = try DeterminismTests.call(.float16)
    let expected = try engine.attention(call)
    try await withThrowingTaskGroup(of: [String].self) { group in
      for _ in 0..<16 { group.addTask { try await engine.result(of: call).differences(from: expected) } }
      for try await differences in group { #expect(differences == []) }
    }
    var wrong = call
    wrong.keyLengths = [1]
    await #expect(throws: AttentionError.self) { try await engine.result(of: wrong) }
  }

  @Test("Plans: a pass by the number of queries, blocks by the memory")
  func plans() throws {
    // (Among three, four key/value heads are not divided evenly, and so not computed in parts.)
    let baseline = DeviceProfile(.baseline, identifier: "cpu", threads: 3)
    func plan(
      queries: Int, width: Int, on device: DeviceProfile, returning outputs: AttentionOutputs = .output
    ) throws -> CPUPlan {
      let problem = try AttentionProblem(
        batch: 1, queryHeads: 8, keyValueHeads: 4, queryLength: queries, keyLength: 1000, headDimension: width,
        valueDimension: width, elementType: .float32, outputs: outputs)
      let plan = try AttentionPlan(problem, devices: [device])
      guard case .cpu(let cpu) = try #require(plan.parts.first).work else {
        throw AttentionError.cannotRun(device: "cpu", reason: "another plan")
      }
      return cpu
    }
    #expect(try plan(queries: 16, width: 64, on: baseline).kernelName == "decode")
    #expect(try plan(queries: 17, width: 64, on: baseline).kernelName == "fused")
    #expect(try plan(queries: 1, width: 33, on: baseline).kernelName == "decode")
    #expect(try plan(queries: 17, width: 64, on: baseline).blocks.map(\.heads) == [0..<8])
    var small = baseline
    // One key/value head packed is 1000 × 128 floats.
    small.maxAllocation = 2 * 1000 * 128 * 4
    let cut = try plan(queries: 17, width: 64, on: small)
    #expect(cut.blocks.map(\.heads) == [0..<4, 4..<8])
    // One query's splits are small, but what keys receive from it is computed from packed keys.
    #expect(try plan(queries: 1, width: 64, on: small).blocks.map(\.heads) == [0..<8])
    let received = try plan(queries: 1, width: 64, on: small, returning: [.output, .received])
    #expect(received.kernelName == "decode")
    #expect(received.blocks.map(\.heads) == [0..<4, 4..<8])
    #expect(received.scratchBytes >= small.maxAllocation)
    small.globalMemory = 1000 * 128 * 4 - 1
    #expect(throws: AttentionError.self) { try plan(queries: 17, width: 64, on: small) }
    #expect(cut.scratchBytes < (try plan(queries: 17, width: 64, on: baseline)).scratchBytes)
  }

  @Test("A wrong name or number says what there is")
  func wrongNames() throws {
    let names = InstructionSet.available.map(\.rawValue).joined(separator: ", ")
    let error = AttentionError.invalid(
      argument: "device", found: "mmx", expected: "one that this processor has: \(names)")
    #expect(throws: error) { try AttentionEngine(device: .named(["cpu:mmx"])) }
    #expect(throws: AttentionError.invalid(argument: "threads", found: "0", expected: "1 to 1024")) {
      try AttentionEngine(threads: 0)
    }
  }
}
