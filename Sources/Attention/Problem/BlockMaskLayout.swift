/// How a block mask lies over the score matrix: the sizes of its blocks, and how its tensor broadcasts to the grid of
/// blocks of each head.
package struct BlockMaskLayout: Sendable, Equatable {
  package let queryBlock: Int
  package let keyBlock: Int
  /// `ceil(Lq / queryBlock)` and `ceil(Lk / keyBlock)`.
  package let rows: Int
  package let columns: Int
  /// The broadcast to `[B, Hq, rows, columns]`.
  package let grid: MaskLayout

  /// Blocks of one head.
  package var planeElements: Int { rows * columns }

  /// - Parameter target: `[B, Hq, Lq, Lk]`.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for blocks of no rows or keys, a tensor that is not
  ///   boolean and a shape that does not broadcast.
  package init(_ mask: BlockMask, over target: [Int]) throws {
    for size in [mask.queryBlock, mask.keyBlock] where !(1..<AttentionSequence.unlimited).contains(size) {
      throw AttentionError.invalid(
        argument: "block_size", found: "[\(mask.queryBlock), \(mask.keyBlock)]", expected: "1 or more, below 2^30")
    }
    guard mask.visible.elementType == .bool else {
      throw AttentionError.invalid(
        argument: "block_mask", found: mask.visible.elementType.rawValue, expected: "BOOL")
    }
    queryBlock = mask.queryBlock
    keyBlock = mask.keyBlock
    rows = target[2].tiles(of: mask.queryBlock)
    columns = target[3].tiles(of: mask.keyBlock)
    grid = try MaskLayout(
      named: "block_mask", shape: mask.visible.shape, elementType: .bool,
      broadcastTo: [target[0], target[1], rows, columns],
      form: "[B, Hq, ceil(Lq / \(mask.queryBlock)), ceil(Lk / \(mask.keyBlock))]")
  }
}
