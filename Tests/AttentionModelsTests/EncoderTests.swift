import Attention
import AttentionModels
import AttentionTestSupport
import Foundation
import TensorFiles
import Testing

/// The tiny encoder, written out.
private struct PlainEncoder {
  static func run(_ ids: [Int]) -> (hidden: PlainLayers.Rows, weights: [[PlainLayers.Rows]]) {
    let shapes = TinyModels.encoderShapes
    func tensor(_ name: String) -> PlainLayers.Rows { PlainLayers.tensor(name, shapes[name] ?? []) }
    func linear(_ x: PlainLayers.Rows, _ name: String) -> PlainLayers.Rows {
      PlainLayers.linear(x, tensor(name + ".weight"), tensor(name + ".bias")[0])
    }
    func norm(_ x: PlainLayers.Rows, _ name: String) -> PlainLayers.Rows {
      PlainLayers.layerNorm(x, tensor(name + ".weight")[0], tensor(name + ".bias")[0], epsilon: 0.05)
    }
    let words = tensor("embeddings.word_embeddings.weight")
    let positions = tensor("embeddings.position_embeddings.weight")
    let type = tensor("embeddings.token_type_embeddings.weight")[0]
    let sum = ids.enumerated().map { i, id in zip(zip(words[id], positions[i]), type).map { $0.0 + $0.1 + $1 } }
    var hidden = norm(sum, "embeddings.LayerNorm")
    var weights: [[PlainLayers.Rows]] = []
    for layer in 0..<2 {
      let name = "encoder.layer.\(layer)"
      let attention = PlainLayers.attention(
        linear(hidden, name + ".attention.self.query"), linear(hidden, name + ".attention.self.key"),
        linear(hidden, name + ".attention.self.value"), heads: 2, keyValueHeads: 2, isCausal: false)
      weights.append(attention.weights)
      hidden = norm(
        PlainLayers.add(hidden, linear(attention.output, name + ".attention.output.dense")),
        name + ".attention.output.LayerNorm")
      let wide = PlainLayers.gelu(linear(hidden, name + ".intermediate.dense"))
      hidden = norm(PlainLayers.add(hidden, linear(wide, name + ".output.dense")), name + ".output.LayerNorm")
    }
    return (hidden, weights)
  }
}

@Suite struct EncoderTests {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("encoder-\(UUID().uuidString)").path

  private func withEncoder(_ device: TestDevice = .reference, _ body: (TextEncoder) throws -> Void) throws {
    try TinyModels.writeEncoder(to: folder)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(try TextEncoder(folder: folder, engine: try device.engine()))
  }

  @Test(arguments: TestDevice.allAndReference)
  func agreesWithTheLayersWrittenOut(device: TestDevice) throws {
    try withEncoder(device) { encoder in
      let ids = encoder.tokenizer.encode("The cats sat on the mat.").ids
      #expect(ids == [2, 5, 6, 11, 7, 8, 5, 9, 16, 3])
      let truth = PlainEncoder.run(ids)
      let found = try encoder.attention(over: ids, returning: .weights)
      for (a, b) in zip(found.hidden.doubles(), truth.hidden.flatMap { $0 }) { #expect(abs(a - b) < 1e-4) }
      #expect(found.layers.count == 2)
      for (layer, result) in found.layers.enumerated() {
        let weights = try #require(result.weights).doubles()
        for (a, b) in zip(weights, truth.weights[layer].flatMap { $0 }.flatMap { $0 }) { #expect(abs(a - b) < 1e-5) }
      }
    }
  }

  @Test(arguments: TestDevice.allAndReference)
  func embeddingsDoNotDependOnTheBatch(device: TestDevice) throws {
    try withEncoder(device) { encoder in
      let texts = ["the cat sat", "dogs ran", "", "it was tired . it was tired ."]
      let together = try encoder.embed(texts).floats()
      for (index, text) in texts.enumerated() {
        let alone = try encoder.embed([text]).floats()
        let own = Array(together[index * 16..<index * 16 + 16])
        for (a, b) in zip(alone, own) { #expect(abs(a - b) < 1e-5) }
        #expect(abs(own.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
        let hidden = PlainEncoder.run(encoder.tokens(of: text).ids).hidden
        let mean = (0..<16).map { d in hidden.reduce(0) { $0 + $1[d] } / Double(hidden.count) }
        let length = mean.reduce(0) { $0 + $1 * $1 }.squareRoot()
        for (a, b) in zip(own, mean) { #expect(abs(Double(a) - b / length) < 1e-4) }
      }
      #expect(try encoder.embed([]).shape == [0, 16])
    }
  }

  @Test func longTextsAreCutOrRefused() throws {
    try withEncoder { encoder in
      let text = String(repeating: "cat ", count: 100)
      let tokens = encoder.tokens(of: text)
      #expect(tokens.ids.count == 40)
      #expect(tokens.ids.last == 3)
      _ = try encoder.embed([text])
      #expect(throws: ModelError.self) { try encoder.explain(text) }
    }
  }

  @Test func explanationsMergeWords() throws {
    try withEncoder { encoder in
      let explanation = try encoder.explain("The cats sat.")
      #expect(explanation.words.texts == ["[CLS]", "The", "cats", "sat", ".", "[SEP]"])
      guard case .maps(let maps) = explanation.attention else {
        Issue.record("a short text has whole maps")
        return
      }
      let merged = maps.merged(explanation.words.tokens)
      #expect(merged.count == 6)
      for query in 0..<6 { #expect(abs(merged.row(layer: 1, head: 1, query: query).reduce(0, +) - 1) < 1e-5) }
      for row in merged.rollout() { #expect(abs(row.reduce(0, +) - 1) < 1e-5) }
    }
  }

  @Test func whatDoesNotFitIsRefused() throws {
    func error(_ change: (String) throws -> Void) throws -> String {
      try TinyModels.writeEncoder(to: folder)
      defer { try? FileManager.default.removeItem(atPath: folder) }
      try change(folder)
      let engine = try AttentionEngine(device: .named(["cpu"]))
      do {
        _ = try TextEncoder(folder: folder, engine: engine)
        return "no error"
      } catch {
        return "\(error)"
      }
    }
    func replace(_ old: String, _ new: String, in file: String) -> (String) throws -> Void {
      { folder in
        let url = URL(fileURLWithPath: folder + "/" + file)
        let text = String(decoding: try Data(contentsOf: url), as: UTF8.self)
        #expect(text.contains(old))
        try Data(text.replacingOccurrences(of: old, with: new).utf8).write(to: url)
      }
    }
    let config = "config.json"
    #expect(try error(replace("\"bert\"", "\"gpt2\"", in: config)).contains("gpt2"))
    #expect(
      try error(replace("\"num_attention_heads\": 2", "\"num_attention_heads\": 3", in: config)).contains("divisor"))
    #expect(try error(replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", in: config)).contains("layer.2"))
    #expect(try error(replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": -1", in: config)).contains("-1"))
    #expect(
      try error(replace("\"intermediate_size\": 24", "\"intermediate_size\": 25", in: config)).contains("[25, 16]"))
    #expect(try error(replace("\"gelu\"", "\"swish\"", in: config)).contains("swish"))
    #expect(try error(replace("{", "", in: config)).contains("does not parse"))
    #expect(try error(replace("\"hidden_size\": 16,", "", in: config)).contains("hidden_size"))
    #expect(try error(replace("[CLS]", "[ABC]", in: "vocab.txt")).contains("[CLS]"))
    #expect(
      try error { try FileManager.default.removeItem(atPath: $0 + "/model.safetensors") }.contains("model.safetensors"))
  }

  @Test func anIndexGoesOnWhereItWas() throws {
    try withEncoder { encoder in
      let passages = ["the cat sat", "dogs ran .", "it was tired"].enumerated().map {
        Passage(file: "a.txt", line: $0 + 1, text: $1)
      }
      var index = SearchIndex(model: "tiny", dimension: 16)
      try index.update(to: Array(passages.prefix(2)), by: encoder)
      let path = folder + "/index.safetensors"
      try index.write(to: path)
      var again = try SearchIndex(path: path)
      #expect(again.passages == Array(passages.prefix(2)))
      var steps: [Int] = []
      try again.update(to: passages, by: encoder) { _ in
      } progress: {
        steps.append($0)
      }
      // Two were known, the third alone was embedded.
      #expect(steps == [2, 3])
      #expect(again.embedding(0) == index.embedding(0))
      let engine = try AttentionEngine(device: .named(["cpu"]))
      let hits = try again.search("it was tired", count: 5, by: encoder, on: engine)
      #expect(hits.count == 3)
      #expect(hits[0].passage == passages[2])
      #expect(abs(hits[0].score - 1) < 1e-6)
      #expect(hits.map(\.score) == hits.map(\.score).sorted(by: >))
      #expect(throws: (any Error).self) { try SearchIndex(path: folder + "/model.safetensors") }
    }
  }
}
