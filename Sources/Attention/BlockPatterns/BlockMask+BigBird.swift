extension BlockMask {
  /// A window, global blocks and random blocks, as in Zaheer et al. 2020, [Big Bird](https://arxiv.org/abs/2007.14062):
  /// a block of queries sees `window` blocks of keys about its own position, the first `global` blocks, and `random`
  /// more; the queries at the positions of the first `global` blocks see every key.
  ///
  /// ```
  /// window 3, global 1, random 1
  /// ■ ■ ■ ■ ■ ■
  /// ■ ■ ■ · r ·
  /// ■ ■ ■ ■ · r
  /// ■ r ■ ■ ■ ·
  /// ■ · r ■ ■ ■
  /// ■ · r · ■ ■
  /// ```
  ///
  /// - Parameters:
  ///   - grid: The score matrix in blocks.
  ///   - window: Blocks of the window, an odd number: half of the others on each side of the blocks that hold the
  ///     queries' own positions.
  ///   - global: Blocks at the start that see and are seen by all.
  ///   - random: Further blocks for each block of queries; all of them where there are fewer.
  ///   - seed: The same seed gives the same blocks on every machine.
  ///   - heads: Heads that each get random blocks of their own (`Hq`); with 1, all heads share them.
  /// - Returns: A mask whose tensor is `[heads, rows, columns]`.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for an even window, a negative number or no head.
  public static func bigBird(
    on grid: BlockGrid, window: Int = 3, global: Int = 2, random: Int = 3, seed: UInt64, heads: Int = 1
  ) throws -> BlockMask {
    let limit = AttentionSequence.unlimited
    try BlockGrid.check("global blocks", [global], in: 0..<limit)
    try BlockGrid.check("random blocks", [random], in: 0..<limit)
    try BlockGrid.check("heads", [heads], in: 1..<limit)
    guard window % 2 == 1, (1..<limit).contains(window) else {
      throw AttentionError.invalid(argument: "window blocks", found: "\(window)", expected: "an odd number above 0")
    }
    var numbers = SeededNumbers(seed: seed)
    let visible = try Tensor(shape: [heads, grid.rows, grid.columns], elementType: .bool) { visible in
      for line in 0..<heads * grid.rows {
        let row = line % grid.rows
        let positions = grid.positions(row: row)
        let own = grid.columns(of: positions)
        let side = window / 2
        let seesAll = positions.lowerBound < global * grid.keyBlock && positions.upperBound >= 0
        var seen = (0..<grid.columns).map { column in
          seesAll || column < global || !own.isEmpty && (own.lowerBound - side..<own.upperBound + side).contains(column)
        }
        var others = seen.indices.filter { !seen[$0] }
        for place in 0..<min(random, others.count) {
          others.swapAt(place, place + numbers.below(others.count - place))
          seen[others[place]] = true
        }
        for (column, sees) in seen.enumerated() { visible[line * grid.columns + column] = sees ? 1 : 0 }
      }
    }
    return BlockMask(queryBlock: grid.queryBlock, keyBlock: grid.keyBlock, visible: visible)
  }
}

extension SeededNumbers {
  /// A number from 0 to `count − 1`. (The standard library may change how it draws one.)
  fileprivate mutating func below(_ count: Int) -> Int {
    Int(next().multipliedFullWidth(by: UInt64(count)).high)
  }
}
