/// The order of the dimensions of queries, keys, values and the output.
public enum TensorLayout: String, Sendable, Hashable, CaseIterable {
  /// `[batch, heads, length, dimension]`
  case bhsd
  /// `[batch, length, heads, dimension]`
  case bshd
  /// `[Σ lengths, heads, dimension]`: sequences of different lengths one after the other, with no padding.
  case thd
}
