extension BlockMask {
  /// The strided pattern of Child et al. 2019, [Generating Long Sequences with Sparse
  /// Transformers](https://arxiv.org/abs/1904.10509): a query at position `p` sees the keys `p − stride … p`, and the
  /// keys before them at distances that are multiples of `stride`. Both parts are in one mask, as in the paper's merged
  /// heads.
  ///
  /// ```
  /// stride 2, blocks of 1
  /// ■ · · · · · ·
  /// ■ ■ · · · · ·
  /// ■ ■ ■ · · · ·
  /// · ■ ■ ■ · · ·
  /// ■ · ■ ■ ■ · ·
  /// · ■ · ■ ■ ■ ·
  /// ■ · ■ · ■ ■ ■
  /// ```
  ///
  /// A block is visible where the pattern lets any of its queries see any of its keys: a stride of less than
  /// `queryBlock + keyBlock` hides nothing before the queries. For the keys after a query within a block add a causal
  /// mask.
  ///
  /// - Parameters:
  ///   - grid: The score matrix in blocks.
  ///   - stride: The length of the local part and the distance between the other keys: 1 or more.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a stride below 1.
  public static func strided(on grid: BlockGrid, stride: Int) throws -> BlockMask {
    try BlockGrid.check("stride", [stride], in: 1..<AttentionSequence.unlimited)
    return try grid.mask { positions, keys in
      // The distances from a key up to a query, of those that are not after it.
      let farthest = positions.upperBound - keys.lowerBound
      let nearest = max(0, positions.lowerBound - keys.upperBound)
      guard farthest >= nearest else { return false }
      return nearest <= stride || farthest / stride > (nearest - 1) / stride
    }
  }
}
