import Attention
import AttentionTestSupport
import Testing

/// Block masks against the reference and against the boolean mask that they stand for.
@Suite("Block masks")
struct BlockMaskTests {
  static let lengths = [(1, 1), (1, 257), (17, 65), (65, 17), (129, 257), (257, 129), (65, 65)]
  static let sizes = [(1, 1), (1, 100), (16, 64), (48, 48), (64, 16), (100, 1), (64, 64), (100, 48)]

  /// A mask whose blocks are visible at random, with the shape `[B, H, rows, columns]` after `leading`.
  static func mask(
    _ leading: [Int], _ queries: Int, _ keys: Int, _ queryBlock: Int, _ keyBlock: Int, seed: UInt64 = 9
  ) throws -> BlockMask {
    var numbers = SeededNumbers(seed: seed)
    let shape = leading + [(queries + queryBlock - 1) / queryBlock, (keys + keyBlock - 1) / keyBlock]
    let visible = try Tensor((0..<shape.reduce(1, *)).map { _ in numbers.next() % 3 != 0 }, shape: shape)
    return BlockMask(queryBlock: queryBlock, keyBlock: keyBlock, visible: visible)
  }

  /// The same call with the block mask written out as a boolean tensor `[B, Hq, Lq, Lk]`.
  static func writtenOut(_ call: AttentionCall) throws -> AttentionCall {
    let blocks = try #require(call.mask.blocks)
    let shape = try AttentionProblem(call).scoreShape
    let padded = Array(repeating: 1, count: 4 - blocks.visible.shape.count) + blocks.visible.shape
    let seen = blocks.visible.floats()
    var visible: [Bool] = []
    for b in 0..<shape[0] {
      for h in 0..<shape[1] {
        for i in 0..<shape[2] {
          for j in 0..<shape[3] {
            let index = zip([b, h, i / blocks.queryBlock, j / blocks.keyBlock], padded).map { min($0, $1 - 1) }
            visible.append(seen[zip(index, padded).reduce(0) { $0 * $1.1 + $1.0 }] != 0)
          }
        }
      }
    }
    var call = call
    call.mask.blocks = nil
    call.mask.tensor = try Tensor(visible, shape: shape)
    return call
  }

  /// Holds a device's result to what the reference makes of the boolean mask.
  static func check(_ call: AttentionCall, on device: TestDevice, _ comment: String) throws {
    let result = try device.engine().attention(call)
    #expect(try Expectation(writtenOut(call)).misses(result) == [], "\(comment)")
  }

  @Test("Lengths and block sizes", arguments: TestDevice.allAndReference, lengths)
  func awkward(device: TestDevice, lengths: (queries: Int, keys: Int)) throws {
    for (queryBlock, keyBlock) in Self.sizes {
      var call = try CallShape(queries: lengths.queries, keys: lengths.keys, D: 20).call()
      call.mask = .blocks(try Self.mask([], lengths.queries, lengths.keys, queryBlock, keyBlock))
      try Self.check(call, on: device, "blocks of \(queryBlock)×\(keyBlock)")
    }
  }

  static let forms = [[], [1], [4], [1, 1], [1, 4], [2, 1], [2, 4]]

  @Test("A plane for all, a head, a sequence", arguments: TestDevice.allAndReference, forms)
  func planes(device: TestDevice, leading: [Int]) throws {
    for type in ElementType.storageTypes {
      var call = try CallShape(type, form: .bshd, batch: 2, heads: 4, keyHeads: 2, queries: 65, keys: 129).call()
      call.mask = .blocks(try Self.mask(leading, 65, 129, 16, 48))
      try Self.check(call, on: device, "\(type)")
    }
  }

  @Test("Blocks that broadcast along a row or a column", arguments: TestDevice.allAndReference)
  func broadcast(device: TestDevice) throws {
    for shape in [[], [1], [5, 1], [1, 3], [3]] {
      var call = try CallShape(queries: 65, keys: 129).call()
      let visible = try Tensor((0..<shape.reduce(1, *)).map { $0 % 2 == 0 }, shape: shape)
      call.mask = .blocks(BlockMask(queryBlock: 16, keyBlock: 48, visible: visible))
      try Self.check(call, on: device, "\(shape)")
    }
  }

  static let others: [(String, AttentionMask)] = [
    ("lower right", .causal(.lowerRight)), ("upper left", .causal(.upperLeft)),
    ("window", .window(left: 40, right: 3)), ("causal window", .causal(.lowerRight).window(left: 30)),
    ("offset", .causal(.lowerRight).queryOffset(-20)),
  ]

  @Test("With every other part of a mask", arguments: TestDevice.all, others)
  func combined(device: TestDevice, other: (name: String, mask: AttentionMask)) throws {
    for (queryBlock, keyBlock) in [(16, 16), (48, 100)] {
      var call = try CallShape(batch: 3, heads: 4, keyHeads: 2, queries: 129, keys: 257).call()
      call.keyLengths = [257, 70, 0]
      call.mask = other.mask.blocks(try Self.mask([3, 4], 129, 257, queryBlock, keyBlock))
      try Self.check(call, on: device, "\(queryBlock)×\(keyBlock)")
      call.mask = call.mask.tensor(try MaskTensorTests.mask([4, 129, 257], .float16))
      call.softcap = 3
      call.sinks = [0, 1, -1, 2]
      call.alibiSlopes = [0.1, 0, 0.2, 0.3]
      try AttentionTests.check(call, on: device)
    }
  }

  @Test("Packed sequences count from their own starts", arguments: TestDevice.allAndReference)
  func packed(device: TestDevice) throws {
    var call = try PackedTests.call(queries: [17, 0, 80, 3], keys: [30, 9, 66, 130])
    call.mask = .causal(.lowerRight).blocks(try Self.mask([4, 1], 80, 130, 16, 48))
    try Self.check(call, on: device, "packed")
  }

  @Test("Pages and past keys count from key 0", arguments: TestDevice.allAndReference)
  func pagesAndPast(device: TestDevice) throws {
    var paged = try PagedTests.call()
    paged.mask = .causal(.lowerRight).blocks(try Self.mask([3, 1], 5, 64, 2, 10))
    try Self.check(paged, on: device, "pages")
    var past = try PastTests.call(.bshd, .causal(.lowerRight))
    past.mask = past.mask.blocks(try Self.mask([4], 7, 37, 3, 8))
    try Self.check(past, on: device, "past")
  }

  @Test("Drawn", arguments: TestDevice.allAndReference)
  func drawn(device: TestDevice) throws {
    var call = try CallShape(heads: 1, queries: 5, keys: 7, D: 8).call()
    let visible = try Tensor([true, false, true, false, true, false, false, false, false], shape: [3, 3])
    call.mask = .blocks(BlockMask(queryBlock: 2, keyBlock: 3, visible: visible))
    let result = try device.engine().attention(call)
    let rows = ["■■■···■", "■■■···■", "···■■■·", "···■■■·", "·······"]
    let scores = try #require(result.scores).floats().map { $0 == -.infinity ? "·" : "■" }
    let weights = try #require(result.weights).floats().map { $0 > 0 ? "■" : "·" }
    for (i, row) in rows.enumerated() {
      #expect(scores[i * 7..<i * 7 + 7].joined() == row, "row \(i)")
      #expect(weights[i * 7..<i * 7 + 7].joined() == row, "weights of row \(i)")
    }
    #expect(result.logSumExp?.element(0, 0, 4) == -.infinity)
    #expect(try #require(result.output).floats()[4 * 8..<5 * 8].allSatisfy { $0 == 0 })
  }

  @Test("NaN and infinities in blocks that no query sees", arguments: TestDevice.allAndReference)
  func hidden(device: TestDevice) throws {
    let engine = try device.engine()
    for (keyBlock, hidden) in [(10, 20..<30), (64, 64..<128), (100, 100..<200)] {
      var clean = try CallShape(queries: 129, keys: 257, D: 20).call()
      let columns = (257 + keyBlock - 1) / keyBlock
      let visible = try Tensor((0..<columns).map { $0 * keyBlock != hidden.lowerBound }, shape: [columns])
      clean.mask = .blocks(BlockMask(queryBlock: 48, keyBlock: keyBlock, visible: visible))
      let expected = try engine.attention(clean)
      for value in HiddenTests.poisons {
        var call = clean
        call.operands = .separate(
          query: clean.query, key: try HiddenTests.poison(clean.key, hidden, value),
          value: try HiddenTests.poison(clean.value, hidden, value))
        let found = try engine.attention(call)
        #expect(mismatch("output", found.output, expected.output, Bound(1e-6)) == nil, "\(keyBlock) \(value)")
        #expect(found.logSumExp?.bits == expected.logSumExp?.bits, "\(keyBlock) \(value)")
        #expect(found.weights?.bits == expected.weights?.bits, "\(keyBlock) \(value)")
      }
    }
  }

  @Test("A NaN that one block of queries sees reaches that one", arguments: TestDevice.allAndReference)
  func seen(device: TestDevice) throws {
    var call = try CallShape(heads: 1, queries: 65, keys: 65, D: 20).call()
    let visible = try Tensor((0..<49).map { $0 % 7 == $0 / 7 }, shape: [7, 7])
    call.mask = .blocks(BlockMask(queryBlock: 10, keyBlock: 10, visible: visible))
    call.operands = .separate(
      query: call.query, key: call.key, value: try HiddenTests.poison(call.value, 33..<34, .nan))
    let output = try #require(try device.engine().attention(call).output).floats()
    for i in 0..<65 {
      let row = output[i * 20..<i * 20 + 20]
      #expect(i / 10 == 3 ? row.allSatisfy(\.isNaN) : row.allSatisfy(\.isFinite), "row \(i)")
    }
  }
}
