import Attention
import AttentionModels

/// An explanation as one JSON object.
enum ExplainJSON {
  /// `attention[layer][head][query][key]`, or of a long text the lists of the most attended keys, `[layer][head][query]`.
  private struct Whole: Encodable {
    let text: String
    let tokens: [String]
    let words: [String]
    /// The word that each token belongs to.
    let wordOfToken: [Int]
    let layers: [Int]
    let heads: [Int]
    var attention: [[[[Float]]]]?
    var topKeys: [[[[Int]]]]?
    var topWeights: [[[[Float]]]]?
  }

  static func line(_ explanation: Explanation, layer: Int?, head: Int?) throws -> String {
    let layers = layer.map { [$0] } ?? Array(0..<explanation.layers)
    let heads = head.map { [$0] } ?? Array(0..<explanation.heads)
    let words = explanation.words
    var value = Whole(
      text: explanation.text, tokens: explanation.tokens, words: words.texts,
      wordOfToken: words.tokens.enumerated().flatMap { index, range in range.map { _ in index } }, layers: layers,
      heads: heads)
    let queries = 0..<explanation.tokens.count
    switch explanation.attention {
    case .maps(let maps):
      value.attention = layers.map { layer in
        heads.map { head in queries.map { Array(maps.row(layer: layer, head: head, query: $0)) } }
      }
    case .top(let keys, let weights):
      value.topKeys = try layers.map { layer in
        let numbers = try keys[layer].integers()
        return heads.map { head in queries.map { Array(numbers[range(keys[layer], head, $0)]) } }
      }
      value.topWeights = layers.map { layer in
        let numbers = weights[layer].floats()
        return heads.map { head in queries.map { Array(numbers[range(weights[layer], head, $0)]) } }
      }
    }
    return try JSON.line(value)
  }

  /// One query's list in `[1, heads, queries, k]`.
  private static func range(_ lists: Tensor, _ head: Int, _ query: Int) -> Range<Int> {
    let (queries, k) = (lists.shape[2], lists.shape[3])
    let start = (head * queries + query) * k
    return start..<start + k
  }
}
