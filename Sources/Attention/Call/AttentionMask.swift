/// Which keys a query sees, and what is added to their scores.
///
/// The parts combine: a key is visible where every part lets it be.
///
/// ```swift
/// let mask = AttentionMask.causal(.lowerRight).window(left: 127)
/// ```
public struct AttentionMask: Sendable {
  /// Where the diagonal of a causal mask lies when there are more or fewer keys than queries.
  ///
  /// ```
  ///    2 queries × 5 keys               5 queries × 2 keys
  ///    upperLeft      lowerRight        upperLeft   lowerRight
  ///    ■ · · · ·      ■ ■ ■ ■ ·         ■ ·         · ·
  ///    ■ ■ · · ·      ■ ■ ■ ■ ■         ■ ■         · ·
  ///                                     ■ ■         · ·
  ///                                     ■ ■         ■ ·
  ///                                     ■ ■         ■ ■
  /// ```
  public enum CausalAlignment: String, Sendable, Hashable, CaseIterable {
    /// Query `i` stands at position `i`: it sees keys `j ≤ i`.
    case upperLeft = "upper_left"
    /// The last query stands at the last key: query `i` sees keys `j ≤ i + Lk − Lq`.
    case lowerRight = "lower_right"
  }

  /// A causal mask, or `nil` where later keys may be seen.
  public var causal: CausalAlignment?

  /// The position of query 0 among the keys; overrides the alignment, for the causal mask, the window and ALiBi alike.
  public var queryOffset: Int?

  /// How many keys before (and after) its own position a query sees; `nil` is no limit on that side.
  public var windowLeft: Int?
  public var windowRight: Int?

  /// A mask that broadcasts to `[B, Hq, Lq, Lk]`, right-aligned, of any rank up to 4: boolean (true = visible), or
  /// floating-point (added to the scores; −∞ hides).
  public var tensor: Tensor?

  /// Which blocks of queries see which blocks of keys.
  public var blocks: BlockMask?

  /// Every query sees every key.
  public init() {}

  /// Every query sees every key.
  public static var none: AttentionMask { AttentionMask() }

  /// Hides the keys after the query's position.
  public static func causal(_ alignment: CausalAlignment) -> AttentionMask {
    AttentionMask().causal(alignment)
  }

  /// Hides the keys more than `left` before or `right` after the query's position; `nil` is no limit.
  public static func window(left: Int? = nil, right: Int? = nil) -> AttentionMask {
    AttentionMask().window(left: left, right: right)
  }

  /// Hides the keys where a boolean tensor is false, or adds a floating-point one to the scores.
  public static func tensor(_ tensor: Tensor) -> AttentionMask { AttentionMask().tensor(tensor) }

  /// Hides the blocks of keys that a block mask hides.
  public static func blocks(_ blocks: BlockMask) -> AttentionMask { AttentionMask().blocks(blocks) }

  /// This mask and a causal one.
  public func causal(_ alignment: CausalAlignment) -> AttentionMask {
    with { $0.causal = alignment }
  }

  /// This mask and a window about the query's position.
  public func window(left: Int? = nil, right: Int? = nil) -> AttentionMask {
    with {
      $0.windowLeft = left
      $0.windowRight = right
    }
  }

  /// This mask and a boolean or additive tensor.
  public func tensor(_ tensor: Tensor) -> AttentionMask { with { $0.tensor = tensor } }

  /// This mask and a block mask.
  public func blocks(_ blocks: BlockMask) -> AttentionMask { with { $0.blocks = blocks } }

  /// This mask with query 0 at position `offset` among the keys.
  public func queryOffset(_ offset: Int) -> AttentionMask { with { $0.queryOffset = offset } }

  private func with(_ change: (inout AttentionMask) -> Void) -> AttentionMask {
    var mask = self
    change(&mask)
    return mask
  }
}
