import Attention

/// Who attends to whom in a text, in every layer and head of a model.
public struct Explanation: Sendable {
  /// What the attention of a text is kept as.
  public enum Attention: Sendable {
    /// Every weight.
    case maps(AttentionMaps)
    /// Of each query the keys that it looks at most, and their weights, `[1, heads, tokens, k]` a layer: for long texts.
    case top(keys: [Tensor], weights: [Tensor])
  }

  public let text: String
  public let tokens: [String]
  public let words: Words
  public let attention: Attention
  public let layers: Int
  public let heads: Int

  /// Up to this many tokens every weight is kept: in six layers of twelve heads, 19 MB.
  public static let longestWhole = 256

  /// How many keys are kept of each query of a longer text.
  public static let topKeyCount = 8

  /// - Throws: ``ModelError`` where a text is empty or longer than the model has positions.
  init(
    _ text: String, tokenized: TokenizedText, by tokenizer: any Tokenizer, layers: Int, heads: Int,
    _ run: (_ returning: AttentionOutputs, _ topKeyCount: Int) throws -> [AttentionResult]
  ) throws {
    self.text = text
    self.layers = layers
    self.heads = heads
    tokens = tokenized.ids.map { tokenizer.token($0) ?? "?" }
    words = Words(tokenized, of: text, by: tokenizer)
    let isLong = tokenized.ids.count > Self.longestWhole
    let results = try run(isLong ? .topKeys : .weights, Self.topKeyCount)
    if isLong {
      attention = .top(keys: results.compactMap(\.topKeys), weights: results.compactMap(\.topWeights))
    } else {
      attention = .maps(try AttentionMaps(results.compactMap(\.weights)))
    }
  }
}

extension TextEncoder {
  /// Who attends to whom in a text.
  ///
  /// - Throws: ``ModelError`` where the text has more tokens than the model has ``positions``.
  public func explain(_ text: String) throws -> Explanation {
    let tokenized = tokenizer.encode(text)
    return try Explanation(text, tokenized: tokenized, by: tokenizer, layers: layers, heads: heads) {
      try attention(over: tokenized.ids, returning: $0, topKeyCount: $1).layers
    }
  }
}
