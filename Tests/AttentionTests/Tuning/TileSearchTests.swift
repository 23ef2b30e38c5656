import Attention
import Testing

@Suite("Searches for tiles")
struct TileSearchTests {
  static let start = tiles(rowBlocks: 4, keyPanels: 4)

  static func tiles(rowBlocks: Int, keyPanels: Int) -> KernelTiles {
    guard let tiles = KernelTiles(.fusedCPU, sizes: [8, 6, 2, rowBlocks, keyPanels, 0], vendor: .other) else {
      preconditionFailure("the family has other sizes")
    }
    return tiles
  }

  /// Neighbours one step up and down in both sizes.
  static func neighbours(_ tiles: KernelTiles) -> [KernelTiles] {
    let (blocks, panels) = (tiles.sizes[3], tiles.sizes[4])
    return [(1, 0), (-1, 0), (0, 1), (0, -1)].map { self.tiles(rowBlocks: blocks + $0.0, keyPanels: panels + $0.1) }
  }

  /// A bowl with its bottom at 6 and 2.
  static func seconds(_ tiles: KernelTiles) -> Double {
    let (x, y) = (Double(tiles.sizes[3] - 6), Double(tiles.sizes[4] - 2))
    return 1 + 0.1 * (x * x + y * y)
  }

  static func search(_ time: @escaping (KernelTiles, KernelTiles) throws -> TileTiming) -> TileSearch {
    var search = TileSearch(from: start, fits: { $0.sizes[3] > 0 && $0.sizes[4] > 0 }, time: time)
    search.mostTrials = 100
    return search
  }

  static func byTime(_ tiles: KernelTiles, _ others: KernelTiles) -> TileTiming {
    .ratio(seconds(tiles) / seconds(others))
  }

  @Test("come to the best there is, and say by how much it is better")
  func best() throws {
    let found = try Self.search(Self.byTime).run(hints: [], neighbours: Self.neighbours)
    #expect(found.tiles == Self.tiles(rowBlocks: 6, keyPanels: 2))
    #expect(abs(found.ratio - 1 / 1.8) < 1e-12)
    #expect(Set(found.trials.map(\.tiles)).count == found.trials.count, "nothing is tried twice")
    #expect(!found.trials.contains { $0.tiles == Self.start })
    for trial in found.trials {
      #expect(abs(try #require(trial.ratio) - Self.seconds(trial.tiles) / 1.8) < 1e-12)
    }
    #expect(found.trials.last { $0.isBest }?.tiles == found.tiles)
  }

  @Test("try hints first")
  func hints() throws {
    let hint = Self.tiles(rowBlocks: 6, keyPanels: 2)
    let found = try Self.search(Self.byTime).run(hints: [Self.start, hint], neighbours: Self.neighbours)
    #expect(found.trials.map(\.tiles) == [hint] + Self.neighbours(hint))
    #expect(found.tiles == hint)
  }

  @Test("reject what is wrong or cannot be used, however fast it would be")
  func wrong() throws {
    let best = Self.tiles(rowBlocks: 6, keyPanels: 2)
    for timing in [TileTiming.wrong(1), .unusable("too large")] {
      let found = try Self.search { tiles, others in tiles == best ? timing : Self.byTime(tiles, others) }
        .run(hints: [best], neighbours: Self.neighbours)
      #expect(found.tiles != best)
      #expect(found.ratio < 1)
      let trial = try #require(found.trials.first)
      #expect(trial.tiles == best && trial.timing == timing && trial.ratio == nil && !trial.isBest)
    }
  }

  @Test("do not believe in luck: what looks faster must be so twice")
  func luck() throws {
    var lucky: Set<KernelTiles> = []
    let found = try Self.search { tiles, _ in .ratio(lucky.insert(tiles).inserted ? 0.5 : 1) }
      .run(hints: [], neighbours: Self.neighbours)
    #expect(found.tiles == Self.start && found.ratio == 1)
    #expect(found.trials.count == 4 && found.trials.allSatisfy { !$0.isBest })
  }

  @Test("keep the choice of the table unless the winner beats it itself")
  func lastWord() throws {
    // Each is faster than the last, and yet none than the first.
    let found = try Self.search { _, others in .ratio(others == Self.start ? 0.97 : 0.9) }
      .run(hints: [], neighbours: Self.neighbours)
    #expect(found.tiles != Self.start && found.ratio == 0.97)
    // Faster than the first at both looks, but not at the last.
    var looks: [KernelTiles: Int] = [:]
    let none = try Self.search { tiles, others in
      looks[tiles, default: 0] += 1
      return .ratio(others == Self.start && looks[tiles, default: 0] < 3 ? 0.9 : 1.2)
    }.run(hints: [], neighbours: Self.neighbours)
    #expect(none.trials.contains { $0.isBest })
    #expect(none.tiles == Self.start && none.ratio == 1)
  }

  @Test("differences within the noise change nothing")
  func noise() throws {
    let found = try Self.search { _, _ in .ratio(0.99) }.run(hints: [], neighbours: Self.neighbours)
    #expect(found.tiles == Self.start && found.trials.count == 4)
  }

  @Test("try no more than they may, and only what fits")
  func limits() throws {
    var search = Self.search(Self.byTime)
    search.mostTrials = 3
    #expect(try search.run(hints: [], neighbours: Self.neighbours).trials.count == 3)
    let narrow = TileSearch(from: Self.start, fits: { _ in false }, time: { _, _ in .ratio(0.1) })
    let found = try narrow.run(hints: [Self.tiles(rowBlocks: 1, keyPanels: 1)], neighbours: Self.neighbours)
    #expect(found.trials.isEmpty && found.tiles == Self.start)
  }

  @Test("pass errors on")
  func errors() {
    struct Failed: Error {}
    #expect(throws: Failed.self) {
      try Self.search { _, _ in throw Failed() }.run(hints: [], neighbours: Self.neighbours)
    }
  }
}
