/// What came of timing tiles against others.
package enum TileTiming: Sendable, Equatable {
  /// The time, over that of the others.
  case ratio(Double)
  /// They compute something else: the largest error.
  case wrong(Double)
  /// They do not build, or the device does not run them, and why.
  case unusable(String)
}

/// Tiles that were tried, and what came of it.
package struct TileTrial: Sendable, Equatable {
  package let tiles: KernelTiles
  /// Against the best until then.
  package let timing: TileTiming
  /// The time over that of the tiles the search began with, as far as it is known.
  package let ratio: Double?
  /// Whether they became the best.
  package let isBest: Bool
}

/// A search for fast tiles: from the best known, a step at a time, to better neighbours, until none is better.
///
/// ```
/// best = the table's choice
/// for tiles in hints, then neighbours of the best (anew whenever it changes):
///   if tiles fit, are new, are right and are faster than the best, twice: best = tiles
/// best against the table's choice three times more: if it is not faster then, the choice stays
/// ```
package struct TileSearch {
  package let start: KernelTiles
  /// Whether tiles may be tried.
  package let fits: (KernelTiles) -> Bool
  /// Times tiles against others, and holds them to the truth.
  package let time: (_ tiles: KernelTiles, _ others: KernelTiles) throws -> TileTiming
  /// Tiles tried at most.
  package var mostTrials = 12

  /// A gain below this is noise.
  private static let worthwhile = 0.98

  package init(
    from start: KernelTiles, fits: @escaping (KernelTiles) -> Bool,
    time: @escaping (_ tiles: KernelTiles, _ others: KernelTiles) throws -> TileTiming
  ) {
    self.start = start
    self.fits = fits
    self.time = time
  }

  /// What a search found.
  package struct Finding: Sendable, Equatable {
    package let tiles: KernelTiles
    /// Their time over that of the tiles the search began with; 1 for those themselves.
    package let ratio: Double
    package let trials: [TileTrial]
  }

  /// Searches.
  ///
  /// - Parameters:
  ///   - hints: Tiles to try first.
  ///   - progress: Called before each trial.
  package func run(
    hints: [KernelTiles], neighbours: (KernelTiles) -> [KernelTiles], progress: (KernelTiles, Int) -> Void = { _, _ in }
  ) throws -> Finding {
    var best = (tiles: start, ratio: 1.0)
    var tried: Set<KernelTiles> = [start]
    var trials: [TileTrial] = []
    func next() -> KernelTiles? {
      guard trials.count < mostTrials else { return nil }
      return (hints + neighbours(best.tiles)).first { !tried.contains($0) && fits($0) }
    }
    while let tiles = next() {
      tried.insert(tiles)
      progress(tiles, trials.count + 1)
      var timing = try time(tiles, best.tiles)
      // Of many comparisons some are lucky: what looks faster must be so again, and the second ratio is the one that counts.
      if case .ratio(let found) = timing, found < Self.worthwhile { timing = try time(tiles, best.tiles) }
      var ratio: Double?
      var isBest = false
      if case .ratio(let found) = timing {
        ratio = found * best.ratio
        isBest = found < Self.worthwhile
        if isBest { best = (tiles, found * best.ratio) }
      }
      trials.append(TileTrial(tiles: tiles, timing: timing, ratio: ratio, isBest: isBest))
    }
    let ratio = best.tiles == start ? nil : try lastWord(on: best.tiles)
    guard let ratio, ratio < Self.worthwhile else { return Finding(tiles: start, ratio: 1, trials: trials) }
    return Finding(tiles: best.tiles, ratio: ratio, trials: trials)
  }

  /// The middle of three comparisons between the two that count; nil where one of them fails.
  private func lastWord(on tiles: KernelTiles) throws -> Double? {
    var ratios: [Double] = []
    for _ in 0..<3 {
      guard case .ratio(let ratio) = try time(tiles, start) else { return nil }
      ratios.append(ratio)
    }
    return ratios.median
  }
}
