import Attention
import AttentionModels
import AttentionTestSupport
import Foundation
import Testing

@Suite struct DecoderTests {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("decoder-\(UUID().uuidString)").path

  private func withGenerator(_ device: TestDevice = .reference, _ body: (TextGenerator) throws -> Void) throws {
    try TinyModels.writeDecoder(to: folder)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(try TextGenerator(.folder(folder), engine: try device.engine()))
  }

  private static var greedy: TextGenerator.Options {
    var options = TextGenerator.Options()
    options.tokens = 12
    options.sampling = .greedy
    options.isRaw = true
    options.ignoresEnd = true
    return options
  }

  @Test(arguments: TestDevice.allAndReference)
  func agreesWithTheLayersWrittenOut(device: TestDevice) throws {
    try withGenerator(device) { generator in
      let result = try generator.generate("Once upon a time", options: Self.greedy)
      #expect(result.promptIDs == Array("Once upon a time".utf8).map(Int.init))
      #expect(result.tokenIDs.count == 12)
      // Each choice is the best, or one that float32 cannot tell from it.
      #expect(PlainDecoder.tiny.shortfall(of: result) <= 1e-4)
    }
  }

  /// Whoever is given the text may use the generator.
  @Test(arguments: TestDevice.allAndReference)
  func textsWithinTexts(device: TestDevice) throws {
    try withGenerator(device) { generator in
      let alone = try generator.generate("Once upon a time", options: Self.greedy).tokenIDs
      var inner: [[Int]] = []
      let outer = try generator.generate("Once upon a time", options: Self.greedy) { _ in
        if inner.count < 2 { inner.append(try generator.generate("Once upon a time", options: Self.greedy).tokenIDs) }
        #expect(try generator.timingAttention { try generator.explain("a") }.seconds > 0)
      }
      #expect(outer.tokenIDs == alone)
      #expect(inner == [alone, alone])
    }
  }

  @Test(arguments: [KVCacheStorage.float16, .bfloat16])
  func otherStoragesOfTheCacheGoTheSameWay(storage: KVCacheStorage) throws {
    try withGenerator { generator in
      var options = Self.greedy
      options.storage = storage
      let result = try generator.generate("Once upon a time", options: options)
      #expect(result.tokenIDs.count == 12)
      #expect(PlainDecoder.tiny.shortfall(of: result) <= 0.1)
    }
  }

  /// A window that holds everything changes nothing.
  @Test func aWindowThatIsLongEnoughChangesNothing() throws {
    try withGenerator { generator in
      let whole = try generator.generate("Once upon", options: Self.greedy)
      var options = Self.greedy
      options.rolling = .init(sinks: 4, window: 64)
      let rolled = try generator.generate("Once upon", options: options)
      #expect(rolled.tokenIDs == whole.tokenIDs)
    }
  }

  @Test func generationGoesOnPastTheModelsPositionsWithAWindow() throws {
    try withGenerator { generator in
      var options = Self.greedy
      options.tokens = 600
      #expect(throws: ModelError.self) { try generator.generate("Once", options: options) }
      options.rolling = .init(sinks: 2, window: 16)
      let result = try generator.generate("Once", options: options)
      #expect(result.tokenIDs.count == 600)
    }
  }

  @Test func theSameSeedDrawsTheSameTokens() throws {
    try withGenerator { generator in
      var options = Self.greedy
      options.sampling = SamplingOptions()
      options.sampling.temperature = 2
      options.sampling.seed = 7
      let first = try generator.generate("a", options: options).tokenIDs
      let second = try generator.generate("a", options: options).tokenIDs
      #expect(second == first)
      options.sampling.seed = 8
      let other = try generator.generate("a", options: options).tokenIDs
      #expect(other != first)
      options.sampling.topP = 0
      #expect(throws: ModelError.self) { try generator.generate("a", options: options) }
    }
  }

  @Test func whatIsEmittedIsTheText() throws {
    try withGenerator { generator in
      var emitted = ""
      let result = try generator.generate("Grüße", options: Self.greedy) { emitted += $0 }
      #expect(
        emitted.unicodeScalars.filter { $0 != "\u{fffd}" } == result.text.unicodeScalars.filter { $0 != "\u{fffd}" })
    }
  }

  @Test func chatTemplatesSurroundTheMessage() throws {
    try withGenerator { generator in
      #expect(generator.chatTemplate == .chatML(system: "Be brief."))
      let ids = try generator.promptIDs("Hi", isRaw: false)
      let text = generator.tokenizer.decode(ids, skippingSpecial: false)
      #expect(
        text == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
      #expect(ids.filter { $0 == 256 }.count == 3)
      #expect(throws: ModelError.self) { try generator.generate([], options: Self.greedy) }
      #expect(throws: ModelError.self) { try generator.generate([258], options: Self.greedy) }
    }
  }

  @Test func explanationsSeeOnlyWhatCameBefore() throws {
    try withGenerator { generator in
      let explanation = try generator.explain("it was")
      #expect(explanation.words.texts == ["it", "was"])
      guard case .maps(let maps) = explanation.attention else {
        Issue.record("a short text has whole maps")
        return
      }
      #expect(maps.layers == 2)
      #expect(maps.heads == 4)
      for query in 0..<6 {
        let row = maps.row(layer: 0, head: 0, query: query)
        #expect(abs(row.reduce(0, +) - 1) < 1e-5)
        #expect(row.dropFirst(query + 1).allSatisfy { $0 == 0 })
      }
      let long = try generator.explain(String(repeating: "long text ", count: 30))
      guard case .top(let keys, _) = long.attention else {
        Issue.record("a long text has lists")
        return
      }
      #expect(keys.map(\.shape) == [[1, 4, 300, 8], [1, 4, 300, 8]])
    }
  }
}

@Suite struct SamplerTests {
  private func draws(_ logits: [Float], _ change: (inout SamplingOptions) -> Void) -> Set<Int> {
    var options = SamplingOptions()
    (options.temperature, options.topK, options.topP, options.minP) = (1, 0, 1, 0)
    change(&options)
    var sampler = Sampler(options)
    return Set((0..<500).map { _ in sampler.choose(logits) })
  }

  /// Probabilities 0.5, 0.25, 0.125, 0.125.
  private let logits: [Float] = [log(0.25), log(0.5), log(0.125), log(0.125)]

  @Test func filtersKeepWhatTheySay() {
    #expect(draws(logits) { _ in } == [0, 1, 2, 3])
    #expect(draws(logits) { $0.topK = 2 } == [0, 1])
    #expect(draws(logits) { $0.topP = 0.6 } == [0, 1])
    #expect(draws(logits) { $0.topP = 0.5 } == [1])
    #expect(draws(logits) { $0.minP = 0.3 } == [0, 1])
    // On the boundary: of two that are equally likely one has half of the probability, and both the share of the likeliest.
    #expect(draws([0, 0]) { $0.topP = 0.5 } == [0])
    #expect(draws([0, 0, -1]) { $0.minP = 1 } == [0, 1])
    #expect(draws([0, 1, 1]) { $0.topK = 1 } == [1])
    #expect(draws(logits) { $0.temperature = 0 } == [1])
  }

  @Test func drawsFollowTheProbabilities() {
    var options = SamplingOptions()
    (options.temperature, options.topK, options.topP, options.minP) = (1, 0, 1, 0)
    var sampler = Sampler(options)
    var counts = [0, 0, 0, 0]
    for _ in 0..<8000 { counts[sampler.choose(logits)] += 1 }
    #expect(abs(Double(counts[1]) / 8000 - 0.5) < 0.03)
    #expect(abs(Double(counts[2]) / 8000 - 0.125) < 0.02)
  }

  @Test func notANumberIsNeverChosen() {
    #expect(draws([.nan, 1, .nan]) { _ in } == [1])
    #expect(draws([.nan, 1, 2]) { $0.temperature = 0 } == [2])
    #expect(draws([.nan, .nan]) { _ in } == [0])
  }
}
