import Attention

/// A BERT encoder (Devlin et al. 2018), on a backend.
///
/// ```
/// h = norm(word + position + type)
/// each layer:  a = attention(h·Wq, h·Wk, h·Wv)         heads side by side
///              h = norm(h + a·Wo)
///              h = norm(h + gelu(h·W1)·W2)
/// ```
///
/// Every product has a bias. The rows of several texts stand one after the other, without padding between them.
final class BertModel<Backend: ModelBackend> {
  private struct Layer {
    var query, key, value, output, up, down: Linear<Backend>
    var attentionNorm, outputNorm: LayerNorm<Backend>
  }

  let configuration: BertConfiguration
  private let backend: Backend
  private let words: Backend.Weights
  private let positions: Backend.Matrix
  private let embeddingNorm: LayerNorm<Backend>
  private let layers: [Layer]

  /// - Throws: ``ModelError`` where a tensor is missing or has another shape than the configuration says.
  init(_ configuration: BertConfiguration, weights file: some WeightFile, on backend: Backend) throws {
    // Some files keep the encoder under the name of a larger model.
    let prefix = try file.has("bert.embeddings.word_embeddings.weight") ? "bert." : ""
    let width = configuration.hiddenSize
    func norm(_ name: String) throws -> LayerNorm<Backend> {
      LayerNorm(
        scale: try backend.matrix(try file.vector("\(prefix)\(name).weight", count: width), rows: 1, columns: width),
        shift: try backend.matrix(try file.vector("\(prefix)\(name).bias", count: width), rows: 1, columns: width),
        epsilon: configuration.epsilon)
    }
    func linear(_ name: String, from inputs: Int, to outputs: Int) throws -> Linear<Backend> {
      Linear(
        weights: try backend.weights(try file.matrix("\(prefix)\(name).weight", rows: outputs, columns: inputs)),
        bias: try backend.matrix(try file.vector("\(prefix)\(name).bias", count: outputs), rows: 1, columns: outputs))
    }
    self.configuration = configuration
    self.backend = backend
    words = try backend.weights(
      try file.matrix("\(prefix)embeddings.word_embeddings.weight", rows: configuration.vocabularySize, columns: width))
    // A text is of type 0 throughout: its embedding is added to those of the positions once.
    var table = try file.matrix(
      "\(prefix)embeddings.position_embeddings.weight", rows: configuration.positions, columns: width
    ).floats().floats()
    let type = try file.matrix(
      "\(prefix)embeddings.token_type_embeddings.weight", rows: configuration.types, columns: width
    ).floats().floats()
    for index in table.indices { table[index] += type[index % width] }
    positions = try backend.matrix(table, rows: configuration.positions, columns: width)
    embeddingNorm = try norm("embeddings.LayerNorm")
    layers = try (0..<configuration.layers).map { index in
      let name = "encoder.layer.\(index)"
      return Layer(
        query: try linear("\(name).attention.self.query", from: width, to: width),
        key: try linear("\(name).attention.self.key", from: width, to: width),
        value: try linear("\(name).attention.self.value", from: width, to: width),
        output: try linear("\(name).attention.output.dense", from: width, to: width),
        up: try linear("\(name).intermediate.dense", from: width, to: configuration.intermediateSize),
        down: try linear("\(name).output.dense", from: configuration.intermediateSize, to: width),
        attentionNorm: try norm("\(name).attention.output.LayerNorm"), outputNorm: try norm("\(name).output.LayerNorm"))
    }
  }

  /// The last layer's hidden states of some texts, `[tokens of all, hidden size]`.
  ///
  /// - Parameters:
  ///   - texts: Token numbers; none empty, none longer than the model has positions.
  ///   - returning: What to hand to `visit` of each layer's attention; with it, there is one text.
  func hiddenStates(
    _ texts: [[Int]], returning: AttentionOutputs = [], topKeyCount: Int = 8,
    visit: (_ layer: Int, AttentionResult) throws -> Void = { _, _ in }
  ) throws -> [Float] {
    try check(texts)
    let shape = AttentionShape(
      heads: configuration.heads, keyValueHeads: configuration.heads,
      headDimension: configuration.hiddenSize / configuration.heads, lengths: texts.map(\.count),
      topKeyCount: topKeyCount)
    let sum = try backend.embed(texts.flatMap { $0 }, words)
    try backend.add(try backend.rows(texts.flatMap { Array($0.indices) }, of: positions), to: sum)
    var hidden = try backend.layerNorm(sum, adding: nil, embeddingNorm)
    for (index, layer) in layers.enumerated() {
      let projected = try backend.linear(hidden, [layer.query, layer.key, layer.value])
      let attention = try backend.attention(
        query: projected[0], key: projected[1], value: projected[2], shape: shape, returning: returning)
      try visit(index, attention.result)
      let mixed = try backend.linear(attention.output, [layer.output])[0]
      hidden = try backend.layerNorm(mixed, adding: hidden, layer.attentionNorm)
      let wide = try backend.linear(hidden, [layer.up])[0]
      try backend.activate(wide, configuration.activationFunction ?? .gelu)
      hidden = try backend.layerNorm(try backend.linear(wide, [layer.down])[0], adding: hidden, layer.outputNorm)
    }
    return try backend.floats(of: hidden)
  }

  private func check(_ texts: [[Int]]) throws {
    for text in texts {
      guard (1...configuration.positions).contains(text.count) else {
        throw ModelError("text", found: "\(text.count) tokens", expected: "1 to \(configuration.positions)")
      }
      if let id = text.first(where: { !(0..<configuration.vocabularySize).contains($0) }) {
        throw ModelError("text", found: "token \(id)", expected: "one below \(configuration.vocabularySize)")
      }
    }
  }
}
