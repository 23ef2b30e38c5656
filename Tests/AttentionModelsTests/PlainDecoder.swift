import AttentionModels
import AttentionTestSupport

/// The tiny decoder, written out in float64: no cache, all tokens at once.
struct PlainDecoder {
  typealias Rows = PlainLayers.Rows

  /// By the names of a folder.
  private let tensors: [String: Rows]

  /// The one that ``TinyModels`` writes as a folder.
  static let tiny = PlainDecoder(TinyModels.decoderShapes())

  init(_ shapes: [String: [Int]], values: (String, [Int]) -> [Float] = TinyModels.values) {
    tensors = Dictionary(uniqueKeysWithValues: shapes.map { ($0, PlainLayers.rows(values($0, $1), $1)) })
  }

  /// What may follow each token, and the attention weights, `[layer][head][query][key]`.
  func run(_ ids: [Int]) -> (logits: Rows, attention: [[Rows]]) {
    func tensor(_ name: String) -> Rows { tensors[name] ?? [] }
    let table = tensor("model.embed_tokens.weight")
    var hidden = ids.map { table[$0] }
    var weights: [[Rows]] = []
    for layer in 0..<2 {
      let name = "model.layers.\(layer)"
      let x = PlainLayers.rmsNorm(hidden, tensor(name + ".input_layernorm.weight")[0], epsilon: 0.05)
      let attention = PlainLayers.attention(
        PlainLayers.rotate(
          PlainLayers.linear(x, tensor(name + ".self_attn.q_proj.weight")), dimension: 8, base: 100),
        PlainLayers.rotate(
          PlainLayers.linear(x, tensor(name + ".self_attn.k_proj.weight")), dimension: 8, base: 100),
        PlainLayers.linear(x, tensor(name + ".self_attn.v_proj.weight")), heads: 4, keyValueHeads: 2, isCausal: true)
      weights.append(attention.weights)
      hidden = PlainLayers.add(
        hidden, PlainLayers.linear(attention.output, tensor(name + ".self_attn.o_proj.weight")))
      let y = PlainLayers.rmsNorm(hidden, tensor(name + ".post_attention_layernorm.weight")[0], epsilon: 0.05)
      let gate = PlainLayers.silu(PlainLayers.linear(y, tensor(name + ".mlp.gate_proj.weight")))
      let up = PlainLayers.linear(y, tensor(name + ".mlp.up_proj.weight"))
      let wide = zip(gate, up).map { zip($0, $1).map(*) }
      hidden = PlainLayers.add(hidden, PlainLayers.linear(wide, tensor(name + ".mlp.down_proj.weight")))
    }
    let last = PlainLayers.rmsNorm(hidden, tensor("model.norm.weight")[0], epsilon: 0.05)
    return (PlainLayers.linear(last, table), weights)
  }

  /// How far, at most, the logit of a token that was chosen is below the best.
  func shortfall(of result: TextGenerator.Result) -> Double {
    let logits = run(result.promptIDs + result.tokenIDs.dropLast()).logits
    let choices = zip(result.tokenIDs, logits.dropFirst(result.promptIDs.count - 1))
    return choices.map { id, logits in (logits.max() ?? 0) - logits[id] }.max() ?? .infinity
  }
}
