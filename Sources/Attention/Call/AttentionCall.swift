/// One attention call: every operand and option, not yet checked.
///
/// Dimension letters: `B` batch, `Hq` query heads, `Hkv` key/value heads (`Hq` a multiple of `Hkv`; query head `h` reads
/// key/value head `h / (Hq / Hkv)`), `Lq` queries, `Lk` keys, `D` query and key dimension, `Dv` value dimension.
/// Queries, keys and values share one element type: float32, float16 or bfloat16.
public struct AttentionCall: Sendable {
  /// Where queries, keys and values come from.
  public enum Operands: Sendable {
    /// Three tensors in the call's layout: query `[B, Hq, Lq, D]`, key `[B, Hkv, Lk, D]`, value `[B, Hkv, Lk, Dv]` in
    /// `bhsd`. With a block table, key and value are `[blocks, blockSize, Hkv, ·]` whatever the layout.
    case separate(query: Tensor, key: Tensor, value: Tensor)
    /// One tensor `[B, L, 3, H, D]`; the layout is `bshd`.
    case packed(Tensor)
  }

  public var operands: Operands
  public var layout: TensorLayout
  public var mask: AttentionMask = .none

  /// What the products are multiplied by: any finite number; `nil` is `1/√D`.
  public var scale: Float?

  /// The scores become `softcap · tanh(score / softcap)`: a finite number above 0.
  public var softcap: Float?

  /// `[Hq]`: the score loses `slope · |position − j|` (Press et al., "Train Short, Test Long").
  public var alibiSlopes: [Float]?

  /// `[Hq]`: `exp(sink)` joins the softmax denominator and no value (as in gpt-oss; StreamingLLM's "sinks" are keys).
  public var sinks: [Float]?

  /// `[B]`: keys at or past the length are hidden; 0 is allowed. Keys before the call's own (``past``) count.
  public var keyLengths: [Int]?

  /// `[B + 1]`: where each sequence begins, layout `thd`: starts at 0, never falls, ends at the number of rows.
  public var cumulativeQueryLengths: [Int]?
  public var cumulativeKeyLengths: [Int]?

  /// `[B, blocks per sequence]`, I32: key `j` of sequence `b` is row `j % blockSize` of block `table[b][j / blockSize]`.
  public var blockTable: Tensor?

  /// `[B, Hkv, Lpast, ·]`, in every layout: keys and values that stand before the call's own.
  public var past: (key: Tensor, value: Tensor)?

  /// The results to return.
  public var returning: AttentionOutputs = .output

  /// How many keys ``AttentionOutputs/topKeys`` lists for each query: one of ``topKeyCounts``, more than there are keys
  /// among them.
  public var topKeyCount = 8

  /// What ``topKeyCount`` may be.
  public static let topKeyCounts = 1...64

  /// A call on three tensors.
  public init(query: Tensor, key: Tensor, value: Tensor, layout: TensorLayout = .bhsd) {
    operands = .separate(query: query, key: key, value: value)
    self.layout = layout
  }

  /// A call on one tensor `[B, L, 3, H, D]` of queries, keys and values.
  public init(packed: Tensor) {
    operands = .packed(packed)
    layout = .bshd
  }

  /// The tensor that holds the queries.
  package var query: Tensor {
    switch operands {
    case .separate(let query, _, _): query
    case .packed(let packed): packed
    }
  }

  /// The tensor that holds the call's own keys.
  package var key: Tensor {
    switch operands {
    case .separate(_, let key, _): key
    case .packed(let packed): packed
    }
  }

  /// The tensor that holds the call's own values.
  package var value: Tensor {
    switch operands {
    case .separate(_, _, let value): value
    case .packed(let packed): packed
    }
  }
}
