import Attention
import AttentionTestSupport
import Testing

/// The published patterns, drawn, and against their definitions query by query and key by key.
@Suite("Patterns of blocks")
struct BlockPatternTests {
  static func grid(
    _ queries: Int, _ keys: Int, _ queryBlock: Int = 1, _ keyBlock: Int = 1, offset: Int? = nil
  ) throws -> BlockGrid {
    try BlockGrid(
      queryLength: queries, keyLength: keys, queryBlock: queryBlock, keyBlock: keyBlock, queryOffset: offset)
  }

  static func drawing(_ mask: BlockMask, head: Int = 0) -> [String] {
    let (rows, columns) = (mask.visible.shape.dropLast().last ?? 0, mask.visible.shape.last ?? 0)
    let seen = mask.visible.floats().map { $0 > 0 ? "■" : "·" }
    return (0..<rows).map { row in
      seen[(head * rows + row) * columns..<(head * rows + row + 1) * columns].joined()
    }
  }

  /// The blocks in which `isVisible` holds for some query position and key.
  static func covering(
    _ grid: BlockGrid, offset: Int, lengths: (Int, Int), _ isVisible: (Int, Int) -> Bool
  ) -> [String] {
    (0..<grid.rows).map { row in
      (0..<grid.columns).map { column in
        let queries = row * grid.queryBlock..<min((row + 1) * grid.queryBlock, lengths.0)
        let keys = column * grid.keyBlock..<min((column + 1) * grid.keyBlock, lengths.1)
        return queries.contains { i in keys.contains { isVisible(i + offset, $0) } } ? "■" : "·"
      }.joined()
    }
  }

  static let grids: [(queries: Int, keys: Int, queryBlock: Int, keyBlock: Int, offset: Int?)] = [
    (9, 9, 1, 1, nil), (13, 13, 2, 3, nil), (7, 20, 3, 2, nil), (20, 7, 3, 2, nil), (10, 30, 4, 4, 5),
    (30, 10, 4, 3, -7), (1, 33, 16, 4, nil), (0, 5, 2, 2, nil), (5, 0, 2, 2, nil),
  ]

  @Test("Sliding window and global tokens: drawn")
  func slidingWindowDrawn() throws {
    let mask = try BlockMask.slidingWindow(on: Self.grid(5, 5), left: 1, right: 1, global: 0..<1)
    #expect(Self.drawing(mask) == ["■■■■■", "■■■··", "■■■■·", "■·■■■", "■··■■"])
    let blocks = try BlockMask.slidingWindow(on: Self.grid(8, 12, 2, 3), left: 2, right: 0)
    // Positions 4 … 11, two a row: keys 2 … 5, 4 … 7, 6 … 9, 8 … 11.
    #expect(Self.drawing(blocks) == ["■■··", "·■■·", "··■■", "··■■"])
  }

  @Test("Sliding window and global tokens: the blocks that cover them", arguments: grids)
  func slidingWindow(_ shape: (queries: Int, keys: Int, queryBlock: Int, keyBlock: Int, offset: Int?)) throws {
    let grid = try Self.grid(shape.queries, shape.keys, shape.queryBlock, shape.keyBlock, offset: shape.offset)
    for (left, right, global) in [(0, 0, 0..<0), (3, 0, 0..<2), (2, 5, 4..<6), (100, 0, 0..<0)] {
      let mask = try BlockMask.slidingWindow(on: grid, left: left, right: right, global: global)
      let offset = shape.offset ?? shape.keys - shape.queries
      let expected = Self.covering(grid, offset: offset, lengths: (shape.queries, shape.keys)) { p, j in
        p - left <= j && j <= p + right || global.contains(j) || global.contains(p)
      }
      #expect(Self.drawing(mask) == expected, "\(left) \(right) \(global)")
    }
  }

  @Test("Strided: drawn")
  func stridedDrawn() throws {
    let mask = try BlockMask.strided(on: Self.grid(7, 7), stride: 2)
    #expect(
      Self.drawing(mask) == ["■······", "■■·····", "■■■····", "·■■■···", "■·■■■··", "·■·■■■·", "■·■·■■■"])
  }

  @Test("Strided: the blocks that cover it", arguments: grids)
  func strided(_ shape: (queries: Int, keys: Int, queryBlock: Int, keyBlock: Int, offset: Int?)) throws {
    let grid = try Self.grid(shape.queries, shape.keys, shape.queryBlock, shape.keyBlock, offset: shape.offset)
    for stride in [1, 2, 3, 7, 16] {
      let mask = try BlockMask.strided(on: grid, stride: stride)
      let offset = shape.offset ?? shape.keys - shape.queries
      let expected = Self.covering(grid, offset: offset, lengths: (shape.queries, shape.keys)) { p, j in
        j <= p && (p - j <= stride || (p - j) % stride == 0)
      }
      #expect(Self.drawing(mask) == expected, "stride \(stride)")
    }
  }

  @Test("BigBird without random blocks: drawn")
  func bigBirdDrawn() throws {
    let mask = try BlockMask.bigBird(on: Self.grid(60, 60, 10, 10), window: 3, global: 1, random: 0, seed: 1)
    #expect(Self.drawing(mask) == ["■■■■■■", "■■■···", "■■■■··", "■·■■■·", "■··■■■", "■···■■"])
    let offset = try BlockMask.bigBird(on: Self.grid(20, 60, 10, 10), window: 1, global: 0, random: 0, seed: 1)
    #expect(Self.drawing(offset) == ["····■·", "·····■"])
    let wide = try BlockMask.bigBird(on: Self.grid(40, 40, 20, 10), window: 1, global: 0, random: 0, seed: 1)
    #expect(Self.drawing(wide) == ["■■··", "··■■"])
  }

  @Test("BigBird's random blocks: as many as asked for, the same for a seed, others for a head")
  func bigBirdRandom() throws {
    let grid = try Self.grid(200, 200, 10, 10)
    let mask = try BlockMask.bigBird(on: grid, window: 3, global: 2, random: 3, seed: 7, heads: 3)
    let plain = Self.drawing(try BlockMask.bigBird(on: grid, window: 3, global: 2, random: 0, seed: 7))
    #expect(mask.visible.shape == [3, 20, 20])
    let heads = (0..<3).map { Self.drawing(mask, head: $0) }
    #expect(Set(heads).count == 3)
    for head in heads {
      for (row, without) in zip(head, plain) {
        let (seen, expected) = (row.count { $0 == "■" }, without.count { $0 == "■" })
        #expect(seen == min(20, expected + 3))
        #expect(zip(row, without).allSatisfy { $0 == "■" || $1 == "·" })
      }
    }
    let again = try BlockMask.bigBird(on: grid, window: 3, global: 2, random: 3, seed: 7, heads: 3)
    #expect(again.visible.bits == mask.visible.bits)
    let other = try BlockMask.bigBird(on: grid, window: 3, global: 2, random: 3, seed: 8, heads: 3)
    #expect(other.visible.bits != mask.visible.bits)
    // What this seed gives on every machine.
    let small = try BlockMask.bigBird(on: Self.grid(6, 6), window: 1, global: 0, random: 1, seed: 1)
    #expect(Self.drawing(small) == ["■··■··", "·■··■·", "··■··■", "··■■··", "··■·■·", "···■·■"])
  }

  @Test("A row without other blocks takes all there are")
  func bigBirdFull() throws {
    let mask = try BlockMask.bigBird(on: Self.grid(4, 4), window: 1, global: 0, random: 10, seed: 1)
    #expect(Self.drawing(mask) == Array(repeating: "■■■■", count: 4))
  }

  @Test("Arguments that make no sense")
  func invalid() throws {
    let grid = try Self.grid(8, 8)
    let attempts: [(String, () throws -> Any)] = [
      ("block_size", { try Self.grid(8, 8, 0, 1) }), ("block_size", { try Self.grid(8, 8, 1, -1) }),
      ("length", { try Self.grid(-1, 8) }), ("length", { try Self.grid(1, 1 << 30) }),
      ("query_offset", { try Self.grid(8, 8, offset: 1 << 30) }),
      ("window", { try BlockMask.slidingWindow(on: grid, left: -1, right: 0) }),
      ("window blocks", { try BlockMask.bigBird(on: grid, window: 2, seed: 1) }),
      ("window blocks", { try BlockMask.bigBird(on: grid, window: -1, seed: 1) }),
      ("random blocks", { try BlockMask.bigBird(on: grid, random: -1, seed: 1) }),
      ("global blocks", { try BlockMask.bigBird(on: grid, global: -1, seed: 1) }),
      ("heads", { try BlockMask.bigBird(on: grid, seed: 1, heads: 0) }),
      ("stride", { try BlockMask.strided(on: grid, stride: 0) }),
      ("count", { try BlockMask.topBlocks(0, of: CallShape().call()) }),
      ("block_size", { try BlockMask.topBlocks(1, of: CallShape().call(), queryBlock: 0) }),
    ]
    for (argument, attempt) in attempts {
      let error = #expect(throws: AttentionError.self) { _ = try attempt() }
      #expect(error.map { "\($0)" }?.hasPrefix("\(argument): expected ") == true, "\(argument)")
    }
  }
}
