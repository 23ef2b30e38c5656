import Attention
import AttentionTestSupport
import Testing

/// What holds of every plan, over problems and devices drawn at random.
@Suite("Properties of plans")
struct PlanPropertyTests {
  @Test("Random problems on random devices", arguments: [UInt64(1), 2, 3, 4])
  func random(seed: UInt64) throws {
    var numbers = SeededNumbers(seed: seed)
    var (planned, refused) = (0, 0)
    for round in 0..<100 {
      let problem = try Self.problem(&numbers)
      let devices = (0..<Int.random(in: 1...3, using: &numbers)).map { Self.device(&numbers, index: $0) }
      let plan: AttentionPlan
      do {
        plan = try AttentionPlan(problem, devices: devices)
      } catch AttentionError.cannotRun {
        refused += 1
        continue
      }
      planned += 1
      #expect(Self.faults(plan, problem) == [], "round \(round)")
    }
    // Neither may be the rule.
    #expect(planned > 30)
    #expect(refused > 3)
  }

  /// What is wrong with a plan.
  static func faults(_ plan: AttentionPlan, _ problem: AttentionProblem) -> [String] {
    var faults: [String] = []
    if plan.parts.flatMap(\.heads) != Array(0..<problem.headCount) { faults.append("heads of parts") }
    for part in plan.parts {
      guard case .kernels(let plan) = part.work else { continue }
      if plan.blocks.flatMap(\.heads) != Array(part.heads) { faults.append("heads of blocks") }
      if !plan.tiles.fit(problem, part.device) { faults.append("tiles that do not fit") }
      if plan.peakBytes > part.device.globalMemory {
        faults.append("a peak of \(plan.peakBytes) in \(part.device.globalMemory)")
      }
      for block in plan.blocks { faults += Self.faults(block, plan, problem, on: part.device) }
    }
    return faults
  }

  static func faults(
    _ block: DevicePlan.Block, _ plan: DevicePlan, _ problem: AttentionProblem, on device: DeviceProfile
  ) -> [String] {
    var faults: [String] = []
    let sequences = block.heads.map { problem.sequences[$0 / problem.queryHeads] }
    let queryLength = sequences.map(\.queryLength).max() ?? 0
    if block.slices.flatMap({ Array($0) }) != Array(0..<queryLength) { faults.append("slices") }
    if block.sliceRows % plan.tiles.tileRows != 0 || block.sliceRows == 0 { faults.append("slice rows") }
    if block.scoreStride % plan.tiles.tileKeys != 0 { faults.append("score stride") }
    let needed = plan.tiles.kernel == .staged ? sequences.map(\.keyLength).max() ?? 0 : 0
    if block.scoreStride < needed { faults.append("keys past the stride") }
    let sizes = Sizes(block, plan, problem)
    for (name, bytes) in sizes.buffers where bytes > device.maxAllocation {
      faults.append("\(name): \(bytes) bytes, at most \(device.maxAllocation)")
    }
    if sizes.operands > block.operandBytes { faults.append("\(sizes.operands) bytes of operands counted short") }
    if sizes.scratch > block.scratchBytes { faults.append("\(sizes.scratch) bytes of scratch counted short") }
    if sizes.operands + sizes.scratch > device.globalMemory { faults.append("memory") }
    return faults
  }

  /// The bytes of the buffers that a block needs, counted from the problem.
  struct Sizes {
    let buffers: [(String, Int)]
    let operands: Int
    let scratch: Int

    init(_ block: DevicePlan.Block, _ plan: DevicePlan, _ problem: AttentionProblem) {
      let size = problem.elementType.byteCount
      var (queryRows, keyRows) = (0, 0)
      var keyHeads: Set<Int> = []
      var planes: Set<Int> = []
      var blockPlanes: Set<Int> = []
      for head in block.heads {
        let (b, h) = (head / problem.queryHeads, head % problem.queryHeads)
        queryRows += problem.sequences[b].queryLength
        if keyHeads.insert(head / problem.groupSize).inserted { keyRows += problem.sequences[b].keyLength }
        if let mask = problem.mask { planes.insert(mask.offset(batch: b, head: h)) }
        if let mask = problem.blockMask { blockPlanes.insert(mask.grid.offset(batch: b, head: h)) }
      }
      let query = ("query", queryRows * problem.headDimension * size)
      // What is read in place is not brought over.
      if plan.keysInPlace { keyRows = 0 }
      let key = ("key", keyRows * problem.headDimension * size)
      let value = ("value", keyRows * problem.valueDimension * size)
      let output = ("output", queryRows * problem.valueDimension * size)
      let mask = problem.mask.map {
        planes.count * $0.planeElements(rows: block.sliceRows, keys: problem.keyLength) * $0.elementType.byteCount
      }
      let lengths = block.heads.map { problem.sequences[$0 / problem.queryHeads] }
      let lists = problem.outputs.contains(.topKeys) ? block.heads.count * problem.topKeyCount * 4 : 0
      let list = ("top keys", lists * (lengths.map(\.queryLength).max() ?? 0))
      let sums = problem.outputs.contains(.received) ? block.heads.count * 4 : 0
      let received = ("received", sums * (lengths.map(\.keyLength).max() ?? 0))
      var scratch = [("mask", mask ?? 0)]
      switch plan.tiles {
      case .staged(let tiles):
        let matrix = block.heads.count * block.sliceRows
        let chunks = (block.scoreStride + tiles.chunk - 1) / tiles.chunk
        scratch += [("scores", matrix * block.scoreStride * 4), ("parts", matrix * chunks * 8)]
      case .fusedGPU: break
      case .decode:
        // Of each piece a row of output with its maximum and sum.
        let pieces = block.heads.map {
          plan.split.pieces(keyLength: problem.sequences[$0 / problem.queryHeads].keyLength)
        }
        scratch.append(
          ("partial results", pieces.reduce(0, +) * block.sliceRows * (problem.valueDimension + 2) * 4))
      case .fusedCPU(let tiles):
        for head in keyHeads {
          // Whole tiles of keys, whole panels of value columns.
          let keyTiles =
            (problem.sequences[head / problem.keyValueHeads].keyLength + tiles.tileKeys - 1) / tiles.tileKeys
          let panels = (problem.valueDimension + tiles.panel - 1) / tiles.panel
          let floats = keyTiles * tiles.tileKeys * (problem.headDimension + panels * tiles.panel)
          scratch.append(("packed keys and values", 4 * floats + keyTiles))
        }
      }
      let blocks = ("block mask", blockPlanes.count * (problem.blockMask?.planeElements ?? 0))
      buffers = [query, key, value, output, blocks, list, received] + scratch
      operands = query.1 + key.1 + value.1 + output.1 + queryRows * 4 + blocks.1 + 2 * list.1 + received.1
      self.scratch = scratch.reduce(0) { $0 + $1.1 }
    }
  }

  static func device(_ numbers: inout SeededNumbers, index: Int) -> DeviceProfile {
    let memory = 1 << Int.random(in: 16...26, using: &numbers)
    return DeviceProfile(
      identifier: "\(index)", name: "random",
      deviceClass: [DeviceProfile.DeviceClass.gpu, .gpu, .cpu, .reference].randomElement(using: &numbers) ?? .gpu,
      computeUnits: Int.random(in: 1...80, using: &numbers), clockMHz: Int.random(in: 0...3000, using: &numbers),
      globalMemory: memory, maxAllocation: memory >> Int.random(in: 0...3, using: &numbers),
      localMemory: 1 << Int.random(in: 12...18, using: &numbers),
      maxWorkGroupSize: 1 << Int.random(in: 0...10, using: &numbers), hostUnifiedMemory: Bool.random(using: &numbers))
  }

  /// Dense, or packed with a length for each sequence; some with a mask.
  static func problem(_ numbers: inout SeededNumbers) throws -> AttentionProblem {
    func length() -> Int { Int.random(in: 0...(1 << Int.random(in: 0...10, using: &numbers)), using: &numbers) }
    let batch = Int.random(in: 0...4, using: &numbers)
    let keyHeads = Int.random(in: 1...4, using: &numbers)
    let heads = keyHeads * Int.random(in: 1...4, using: &numbers)
    let type = ElementType.storageTypes.randomElement(using: &numbers) ?? .float32
    let (D, Dv) = (Int.random(in: 1...64, using: &numbers), Int.random(in: 1...64, using: &numbers))
    let packed = batch > 0 && Bool.random(using: &numbers)
    let queries = (0..<(packed ? batch : 1)).map { _ in length() }
    let keys = (0..<(packed ? batch : 1)).map { _ in length() }
    func zeros(_ heads: Int, _ rows: [Int], _ width: Int) throws -> Tensor {
      let shape = packed ? [rows.reduce(0, +), heads, width] : [batch, heads, rows[0], width]
      return try Tensor(zeros: shape, elementType: type)
    }
    var call = AttentionCall(
      query: try zeros(heads, queries, D), key: try zeros(keyHeads, keys, D), value: try zeros(keyHeads, keys, Dv),
      layout: packed ? .thd : .bhsd)
    if packed {
      call.cumulativeQueryLengths = PackedTests.cumulative(queries)
      call.cumulativeKeyLengths = PackedTests.cumulative(keys)
    } else if Bool.random(using: &numbers) {
      call.keyLengths = (0..<batch).map { _ in Int.random(in: 0...keys[0], using: &numbers) }
    }
    if Int.random(in: 0..<3, using: &numbers) == 0 {
      let full = [batch, heads, queries.max() ?? 0, keys.max() ?? 0]
      let shape = full.map { Bool.random(using: &numbers) ? $0 : 1 }
      let type = MaskTensorTests.types.randomElement(using: &numbers) ?? .bool
      call.mask = .tensor(try Tensor(zeros: shape, elementType: type))
    }
    if Int.random(in: 0..<3, using: &numbers) == 0 {
      let (queryBlock, keyBlock) = (Int.random(in: 1...64, using: &numbers), Int.random(in: 1...64, using: &numbers))
      let rows = ((queries.max() ?? 0) + queryBlock - 1) / queryBlock
      let columns = ((keys.max() ?? 0) + keyBlock - 1) / keyBlock
      let shape = [batch, heads].map { Bool.random(using: &numbers) ? $0 : 1 } + [rows, columns]
      call.mask.blocks = BlockMask(
        queryBlock: queryBlock, keyBlock: keyBlock, visible: try Tensor(zeros: shape, elementType: .bool))
    }
    call.returning = [.output, .topKeys, .received, [.topKeys, .received]].randomElement(using: &numbers) ?? .output
    call.topKeyCount = Int.random(in: AttentionCall.topKeyCounts, using: &numbers)
    return try AttentionProblem(call)
  }
}
