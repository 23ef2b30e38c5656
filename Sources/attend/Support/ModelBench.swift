import Attention
import AttentionModels

/// Times a model end to end, at some lengths of context.
struct ModelBench {
  let location: ModelLocation
  let model: String
  /// Tokens of a text, or of the prompt; nil for the usual ones.
  let contexts: [Int]?
  let repetitions: Int

  private static let usualContexts = [64, 128, 256]

  /// Texts that an encoder reads together, and tokens that a decoder generates.
  private static let batch = 32
  private static let generated = 32

  func rows(
    on engine: AttentionEngine, named device: String, progress: (String) -> Void
  ) throws -> [ModelBenchRow] {
    if try location.isDecoder {
      let generator = try TextGenerator(location, engine: engine)
      // A token at least is generated.
      return try contexts(upTo: generator.positions - 1).map { context in
        progress("\(model), \(context) tokens on \(device)")
        return try decode(generator, context: context, device)
      }
    }
    let encoder = try location.encoder(engine)
    return try contexts(upTo: encoder.maximumTokens).map { context in
      progress("\(model), \(Self.batch) texts of \(context) tokens on \(device)")
      return try encode(encoder, context: context, device)
    }
  }

  /// The contexts to time, of a model that reads no more than some tokens.
  private func contexts(upTo most: Int) throws -> [Int] {
    guard let contexts else {
      let usual = Self.usualContexts.filter { $0 <= most }
      return usual.isEmpty ? [most] : usual
    }
    if let long = contexts.first(where: { $0 > most }) {
      throw Failure(.badInput, "--query-length: expected at most \(most), what \(model) can read, found \(long)")
    }
    return contexts
  }

  /// The fastest of some runs, after one that warms up: others on the machine only slow a run down.
  private func encode(_ encoder: TextEncoder, context: Int, _ device: String) throws -> ModelBenchRow {
    let text = Self.words(context)
    let texts = Array(repeating: text, count: Self.batch)
    let tokens = encoder.tokens(of: text).ids.count
    _ = try encoder.embed(texts)
    func seconds() throws -> Double {
      let start = ContinuousClock.now
      _ = try encoder.embed(texts)
      return (ContinuousClock.now - start) / .seconds(1)
    }
    let best = try (0..<repetitions).map { _ in try seconds() }.min() ?? .infinity
    let (all, attention) = try encoder.timingAttention(seconds)
    return ModelBenchRow(
      model: model, device: device, context: tokens,
      promptTokensPerSecond: Double(tokens * Self.batch) / best, tokensPerSecond: OrNull(nil),
      sentencesPerSecond: OrNull(Double(Self.batch) / best), attentionShare: attention / all)
  }

  private func decode(_ generator: TextGenerator, context: Int, _ device: String) throws -> ModelBenchRow {
    var options = TextGenerator.Options()
    options.tokens = min(Self.generated, max(1, generator.positions - context))
    options.sampling = .greedy
    options.ignoresEnd = true
    let ids = Array(generator.tokenizer.encode(Self.words(context)).ids.prefix(context))
    _ = try generator.generate(ids, options: options)
    var prompt = 0.0
    var generation = 0.0
    for _ in 0..<repetitions {
      let result = try generator.generate(ids, options: options)
      prompt = max(prompt, result.promptTokensPerSecond)
      generation = max(generation, result.tokensPerSecond)
    }
    let (last, attention) = try generator.timingAttention { try generator.generate(ids, options: options) }
    return ModelBenchRow(
      model: model, device: device, context: ids.count, promptTokensPerSecond: prompt,
      tokensPerSecond: OrNull(generation), sentencesPerSecond: OrNull(nil),
      attentionShare: attention / (last.promptSeconds + last.generationSeconds))
  }

  /// A text of about as many tokens.
  private static func words(_ count: Int) -> String {
    let words = "the cat sat on the mat and the dog ran over the street because it was too tired to cross".split(
      separator: " ")
    return (0..<max(0, count)).map { String(words[$0 % words.count]) }.joined(separator: " ")
  }
}

/// One device and context of `attend bench --model`.
struct ModelBenchRow: Encodable {
  let model: String
  let device: String
  /// Tokens of a text, or of the prompt.
  let context: Int
  let promptTokensPerSecond: Double
  let tokensPerSecond: OrNull<Double>
  let sentencesPerSecond: OrNull<Double>
  /// Of the whole time, how much attention took.
  let attentionShare: Double

  static var table: Table {
    Table(
      ["model", "device", "context", "prompt tokens/s", "generated tokens/s", "texts/s", "attention"],
      rightAligned: [2, 3, 4, 5, 6], shrinking: 1)
  }

  var cells: [String] {
    [
      model, device, "\(context)", Quantity.rounded(promptTokensPerSecond),
      tokensPerSecond.value.map(Quantity.rounded) ?? "", sentencesPerSecond.value.map(Quantity.rounded) ?? "",
      "\(Quantity.rounded(100 * attentionShare)) %",
    ]
  }
}
