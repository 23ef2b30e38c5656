import Attention
import AttentionModels
import AttentionTestSupport
import Foundation
import TensorFiles
import Testing

/// Published models against what other software makes of them. They run where `attend fetch` has brought the models, and are
/// reported as skipped elsewhere.
@Suite struct PublishedModelTests {
  private static func folder(_ name: String) -> String? {
    ModelStore.known(name).flatMap { try? ModelStore.path(of: $0) }
  }

  private static func reference(_ name: String) -> String {
    Bundle.module.bundleURL.appendingPathComponent("Fixtures/reference/\(name)").path
  }

  @Test(.enabled(if: folder("minilm") != nil, "attend fetch minilm"))
  func tokensOfMiniLM() throws {
    struct File: Decodable {
      struct Case: Decodable {
        let text: String
        let ids: [Int]
        let offsets: [[Int]]
      }
      let cases: [Case]
    }
    let path = Self.reference("minilm_tokens.json")
    let cases = try JSONDecoder().decode(File.self, from: try Data(contentsOf: URL(fileURLWithPath: path))).cases
    let tokenizer = try Tokenizers.load(folder: try #require(Self.folder("minilm")))
    #expect(cases.count == 30)
    for one in cases {
      let found = tokenizer.encode(one.text)
      #expect(found.ids == one.ids)
      // The original counts scalars.
      let ends = one.text.unicodeScalars.reduce(into: [0]) { $0.append(($0.last ?? 0) + UTF8.width($1)) }
      let offsets = one.offsets.map { ends[$0[0]]..<ends[$0[1]] }
      for (a, b) in zip(found.ranges, offsets) where !b.isEmpty { #expect(a == b) }
    }
  }

  @Test(.enabled(if: folder("minilm") != nil, "attend fetch minilm"), arguments: TestDevice.allAndReference)
  func attentionAndEmbeddingsOfMiniLM(device: TestDevice) throws {
    let file = try Safetensors(path: Self.reference("minilm.safetensors"))
    let encoder = try TextEncoder(folder: try #require(Self.folder("minilm")), engine: try device.engine())
    let ids = encoder.tokenizer.encode(try #require(file.metadata["text"])).ids
    let results = try encoder.attention(over: ids, returning: .weights).layers
    #expect(results.count == 6)
    for (layer, result) in results.enumerated() {
      let truth = try file.tensor("layer\(layer)").floats()
      for (a, b) in zip(try #require(result.weights).floats(), truth) { #expect(abs(a - b) < 1e-4) }
    }
    let sentences = try JSONDecoder().decode([String].self, from: Data(try #require(file.metadata["sentences"]).utf8))
    let found = try encoder.embed(sentences).doubles()
    let truth = try file.tensor("embeddings").doubles()
    #expect(found.count == 12 * 384)
    for row in 0..<12 {
      let (a, b) = (found[row * 384..<row * 384 + 384], truth[row * 384..<row * 384 + 384])
      let cosine = zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } / b.reduce(0) { $0 + $1 * $1 }.squareRoot()
      #expect(cosine > 0.99999)
    }
  }

  @Test(.enabled(if: folder("minilm") != nil, "attend fetch minilm"))
  func theHeadThatTiesItToTheAnimal() throws {
    let engine = try AttentionEngine(device: .named(["cpu"]))
    let encoder = try TextEncoder(folder: try #require(Self.folder("minilm")), engine: engine)
    let explanation = try encoder.explain("The animal didn't cross the street because it was too tired.")
    let words = explanation.words
    #expect(
      words.texts == ["[CLS]", "The", "animal", "didn't", "cross", "the", "street", "because", "it", "was", "too"]
        + ["tired", ".", "[SEP]"])
    guard case .maps(let maps) = explanation.attention else {
      Issue.record("a short text has whole maps")
      return
    }
    let merged = maps.merged(words.tokens)
    let telling = merged.tellingHeads(from: try #require(words.find("it")), words: words)
    let animal = try #require(telling.first { words.texts[$0.target] == "animal" })
    #expect(animal.layer == 3)
    #expect(animal.head == 1)
    #expect(abs(animal.weight - 0.677) < 0.001)
    #expect(abs(merged[3, 1, try #require(words.find("it")), try #require(words.find("street"))] - 0.050) < 0.001)
  }

  @Test(.enabled(if: folder("smollm2") != nil, "attend fetch smollm2"))
  func greedyTokensOfSmolLM2() throws {
    struct File: Decodable {
      struct Run: Decodable {
        let prompt, text: String
        let promptIds, outIds: [Int]
      }
      let runs: [Run]
    }
    let path = Self.reference("smollm2_greedy.json")
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let runs = try decoder.decode(File.self, from: try Data(contentsOf: URL(fileURLWithPath: path))).runs
    let generator = try TextGenerator(
      try ModelLocation(path: try #require(Self.folder("smollm2"))),
      engine: try AttentionEngine(device: .named(["cpu"])))
    var options = TextGenerator.Options()
    options.tokens = 64
    options.sampling = .greedy
    options.isRaw = true
    options.ignoresEnd = true
    #expect(runs.count == 3)
    for run in runs {
      let result = try generator.generate(run.prompt, options: options)
      #expect(result.promptIDs == run.promptIds)
      #expect(result.tokenIDs == run.outIds)
      #expect(result.text == run.text)
    }
  }
}
