/// Which blocks of queries see which blocks of keys.
///
/// The score matrix of a head is cut into blocks of `queryBlock × keyBlock`, counted from query 0 and key 0 (past keys
/// included; of packed sequences each from its own start); those at its lower and right edge may be cut off. A hidden
/// block costs nothing where a device computes tile by tile.
///
/// ```
///  queryBlock 2, keyBlock 3       visible        5 queries × 7 keys
///                                 ■ · ■          ■ ■ ■ · · · ■
///                                 · ■ ·          ■ ■ ■ · · · ■
///                                 ■ ■ ·          · · · ■ ■ ■ ·
///                                                · · · ■ ■ ■ ·
///                                                ■ ■ ■ ■ ■ ■ ·
/// ```
///
/// It combines with the other parts of an ``AttentionMask``: a key is visible where every part lets it be. The published
/// patterns are made by ``slidingWindow(on:left:right:global:)``, ``bigBird(on:window:global:random:seed:heads:)``,
/// ``strided(on:stride:)`` and ``topBlocks(_:of:queryBlock:keyBlock:keepingOwn:)``.
public struct BlockMask: Sendable {
  /// Queries of a block: 1 or more.
  public var queryBlock: Int

  /// Keys of a block: 1 or more.
  public var keyBlock: Int

  /// Boolean, true = the block is visible; broadcasts, right-aligned, to `[B, Hq, ceil(Lq / queryBlock), ceil(Lk /
  /// keyBlock)]`, `Lq` and `Lk` those of the longest sequence where sequences are packed.
  public var visible: Tensor

  /// A block mask, not yet checked: ``AttentionProblem`` holds it to the call that it is given to.
  public init(queryBlock: Int, keyBlock: Int, visible: Tensor) {
    self.queryBlock = queryBlock
    self.keyBlock = keyBlock
    self.visible = visible
  }
}
