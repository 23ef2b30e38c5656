extension BlockMask {
  /// A sliding window and global tokens, as in Beltagy et al. 2020, [Longformer](https://arxiv.org/abs/2004.05150): a
  /// query sees the keys from `left` before to `right` after its position and the global keys, and the queries at global
  /// positions see every key.
  ///
  /// ```
  /// left 1, right 1, global 0 ..< 1, blocks of 1
  /// ■ ■ ■ ■ ■
  /// ■ ■ ■ · ·
  /// ■ ■ ■ ■ ·
  /// ■ · ■ ■ ■
  /// ■ · · ■ ■
  /// ```
  ///
  /// A block is visible where the pattern lets any of its queries see any of its keys, so in blocks of more than one
  /// query and key the window's edges are those of blocks. A causal mask goes beside it.
  ///
  /// - Parameters:
  ///   - grid: The score matrix in blocks.
  ///   - left: Keys before the position that a query sees: 0 or more.
  ///   - right: Keys after it: 0 or more.
  ///   - global: The positions whose keys every query sees, and whose queries see every key.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a negative window.
  public static func slidingWindow(
    on grid: BlockGrid, left: Int, right: Int, global: Range<Int> = 0..<0
  ) throws -> BlockMask {
    try BlockGrid.check("window", [left, right], in: 0..<AttentionSequence.unlimited)
    return try grid.mask { positions, keys in
      keys.upperBound >= positions.lowerBound - left && keys.lowerBound <= positions.upperBound + right
        || global.overlaps(keys) || global.overlaps(positions)
    }
  }
}
