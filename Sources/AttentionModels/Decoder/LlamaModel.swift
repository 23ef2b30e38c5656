import Attention

/// A Llama-style decoder (Touvron et al. 2023), on a backend.
///
/// ```
/// h = embedding
/// each layer:  x = rms(h);   h = h + attention(rotated x·Wq, rotated x·Wk, x·Wv)·Wo     query heads share key/value heads
///              x = rms(h);   h = h + (silu(x·Wgate) ∘ x·Wup)·Wdown
/// logits = rms(h)·Woutput
/// ```
final class LlamaModel<Backend: ModelBackend> {
  private struct Layer {
    var query, key, value, output, gate, up, down: Linear<Backend>
    var attentionNorm, feedForwardNorm: Backend.Matrix
  }

  let configuration: LlamaConfiguration
  private let backend: Backend
  private let embedding: Backend.Weights
  private let output: Linear<Backend>
  private let outputNorm: Backend.Matrix
  private let layers: [Layer]

  /// - Throws: ``ModelError`` where a tensor is missing or has another shape than the configuration says.
  init(
    _ configuration: LlamaConfiguration, weights file: some WeightFile, names: LlamaNames, on backend: Backend
  ) throws {
    let width = configuration.hiddenSize
    func norm(_ name: String) throws -> Backend.Matrix {
      try backend.matrix(try file.vector(name, count: width), rows: 1, columns: width)
    }
    func linear(_ name: String, from inputs: Int, to outputs: Int) throws -> Linear<Backend> {
      Linear(weights: try backend.weights(try file.matrix(name, rows: outputs, columns: inputs)), bias: nil)
    }
    self.configuration = configuration
    self.backend = backend
    embedding = try linear(names.embedding, from: width, to: configuration.vocabularySize).weights
    // Small models write with the table that they read with.
    output =
      try file.has(names.output)
      ? try linear(names.output, from: width, to: configuration.vocabularySize) : Linear(weights: embedding, bias: nil)
    outputNorm = try norm(names.outputNorm)
    let wide = configuration.intermediateSize
    let queries = configuration.heads * configuration.headDimension
    let keys = configuration.keyValueHeads * configuration.headDimension
    layers = try (0..<configuration.layers).map { index in
      func name(_ part: LlamaNames.Part) -> String { names.layer(index, part) }
      return Layer(
        query: try linear(name(.query), from: width, to: queries), key: try linear(name(.key), from: width, to: keys),
        value: try linear(name(.value), from: width, to: keys),
        output: try linear(name(.output), from: queries, to: width),
        gate: try linear(name(.gate), from: width, to: wide), up: try linear(name(.up), from: width, to: wide),
        down: try linear(name(.down), from: wide, to: width), attentionNorm: try norm(name(.attentionNorm)),
        feedForwardNorm: try norm(name(.feedForwardNorm)))
    }
  }

  // MARK: Generation

  /// The keys and values of one text so far.
  final class Context {
    let caches: [KVCache]
    let description: CacheDescription
    /// Tokens that it has had.
    fileprivate(set) var count = 0

    fileprivate init(_ caches: [KVCache], _ description: CacheDescription) {
      self.caches = caches
      self.description = description
    }
  }

  func makeContext(storage: KVCacheStorage, rolling: KVCache.Options.Rolling?) throws -> Context {
    let description = CacheDescription(
      heads: configuration.heads, keyValueHeads: configuration.keyValueHeads,
      headDimension: configuration.headDimension, rotary: configuration.rotary, storage: storage, rolling: rolling)
    return Context(try layers.map { _ in try backend.makeCache(description) }, description)
  }

  /// Reads a text's next tokens and says what may follow the last: a logit for each token of the vocabulary.
  ///
  /// - Parameter ids: At least one token.
  func logits(after ids: [Int], in context: Context) throws -> [Float] {
    try check(ids)
    let hidden = try run(ids) { index, query, key, value in
      try backend.attention(
        query: query, key: key, value: value, cache: context.caches[index], description: context.description)
    }
    context.count += ids.count
    let last = ids.count == 1 ? hidden : try backend.rows([ids.count - 1], of: hidden)
    let normed = try backend.rmsNorm(last, scale: outputNorm, epsilon: configuration.epsilon)
    return try backend.floats(of: try backend.linear(normed, [output])[0])
  }

  /// What each layer's attention returns over a text of its own.
  func attention(
    over ids: [Int], returning: AttentionOutputs, topKeyCount: Int, visit: (Int, AttentionResult) throws -> Void
  ) throws {
    try check(ids)
    let shape = AttentionShape(
      heads: configuration.heads, keyValueHeads: configuration.keyValueHeads,
      headDimension: configuration.headDimension, lengths: [ids.count], isCausal: true, topKeyCount: topKeyCount)
    _ = try run(ids) { index, query, key, value in
      try backend.rotate(query, heads: configuration.heads, by: configuration.rotary)
      try backend.rotate(key, heads: configuration.keyValueHeads, by: configuration.rotary)
      let attention = try backend.attention(query: query, key: key, value: value, shape: shape, returning: returning)
      try visit(index, attention.result)
      return attention.output
    }
  }

  private func run(
    _ ids: [Int],
    attention: (Int, _ query: Backend.Matrix, _ key: Backend.Matrix, _ value: Backend.Matrix) throws -> Backend.Matrix
  ) throws -> Backend.Matrix {
    let hidden = try backend.embed(ids, embedding)
    for (index, layer) in layers.enumerated() {
      let x = try backend.rmsNorm(hidden, scale: layer.attentionNorm, epsilon: configuration.epsilon)
      let projected = try backend.linear(x, [layer.query, layer.key, layer.value])
      let mixed = try attention(index, projected[0], projected[1], projected[2])
      try backend.add(try backend.linear(mixed, [layer.output])[0], to: hidden)
      let y = try backend.rmsNorm(hidden, scale: layer.feedForwardNorm, epsilon: configuration.epsilon)
      let wide = try backend.linear(y, [layer.gate, layer.up])
      try backend.gate(wide[0], wide[1])
      try backend.add(try backend.linear(wide[0], [layer.down])[0], to: hidden)
    }
    return hidden
  }

  private func check(_ ids: [Int]) throws {
    guard !ids.isEmpty else { throw ModelError("prompt", found: "no token", expected: "1 or more") }
    if let id = ids.first(where: { !(0..<configuration.vocabularySize).contains($0) }) {
      throw ModelError("prompt", found: "token \(id)", expected: "one below \(configuration.vocabularySize)")
    }
  }
}
