import Attention
import Foundation
import Synchronization

/// A BERT-style encoder with its tokenizer: embeddings of texts, and who attends to whom in them.
///
/// ```swift
/// let encoder = try TextEncoder(folder: "all-MiniLM-L6-v2")
/// let vectors = try encoder.embed(["A man is eating food.", "A man is eating bread."])
/// ```
///
/// It may be used from any thread; calls take turns.
public final class TextEncoder: Sendable {
  /// What the model is, in numbers.
  public let layers: Int
  public let heads: Int
  public let embeddingDimension: Int

  /// The most tokens of a text that is embedded; longer ones are cut.
  public let maximumTokens: Int

  /// The most tokens of a text that the model has positions for.
  public let positions: Int

  public let tokenizer: any Tokenizer

  private let model: Mutex<AnyBert>
  private let clock = AttentionClock()

  /// A model on some backend.
  private struct AnyBert {
    let hiddenStates:
      (
        _ texts: [[Int]], _ returning: AttentionOutputs, _ topKeyCount: Int,
        _ visit: (Int, AttentionResult) throws -> Void
      ) throws -> [Float]

    init<Backend: ModelBackend>(_ model: BertModel<Backend>) {
      hiddenStates = { try model.hiddenStates($0, returning: $1, topKeyCount: $2, visit: $3) }
    }
  }

  /// Opens a folder as Hugging Face lays them out: `config.json`, `model.safetensors`, and `tokenizer.json` or
  /// `vocab.txt`.
  ///
  /// - Parameter engine: What computes. Where it has one OpenCL device, the layers run there too, and activations stay on
  ///   it; otherwise they run on the CPU.
  /// - Throws: ``ModelError``, ``TokenizerError`` or `TensorFileError` for a folder that holds no such model,
  ///   `AttentionError` for a device that fails.
  public init(folder: String, engine: AttentionEngine) throws {
    let path = folder + "/config.json"
    let configuration = try ModelJSON.read(BertConfiguration.self, path).checked(path)
    guard configuration.modelType ?? "bert" == "bert" else {
      throw ModelError(path, found: "a model of type \(configuration.modelType ?? "")", expected: "bert")
    }
    tokenizer = try Tokenizers.load(folder: folder)
    guard tokenizer.vocabularySize <= configuration.vocabularySize else {
      throw ModelError(
        folder, found: "a tokenizer of \(tokenizer.vocabularySize) tokens",
        expected: "at most the model's \(configuration.vocabularySize)")
    }
    layers = configuration.layers
    heads = configuration.heads
    embeddingDimension = configuration.hiddenSize
    positions = configuration.positions
    maximumTokens = min(positions, Self.sentenceLength(folder) ?? positions)
    let weights = try MappedSafetensors(path: folder + "/model.safetensors")
    let bert =
      if let executor = try engine.soleExecutor {
        AnyBert(
          try BertModel(
            configuration, weights: weights, on: OpenCLBackend(engine: engine, executor: executor, clock: clock)))
      } else {
        AnyBert(try BertModel(configuration, weights: weights, on: CPUBackend(engine: engine, clock: clock)))
      }
    model = Mutex(bert)
  }

  /// What `sentence_bert_config.json` says of the longest text, where there is one.
  private static func sentenceLength(_ folder: String) -> Int? {
    struct Configuration: Decodable {
      var length: Int?
      enum CodingKeys: String, CodingKey { case length = "max_seq_length" }
    }
    let data = FileManager.default.contents(atPath: folder + "/sentence_bert_config.json") ?? Data()
    return (try? JSONDecoder().decode(Configuration.self, from: data))?.length.flatMap { $0 >= 2 ? $0 : nil }
  }

  /// The tokens of a text, cut to ``maximumTokens``; the last one, which ends a text, stays.
  public func tokens(of text: String) -> TokenizedText {
    var tokens = tokenizer.encode(text)
    guard tokens.ids.count > maximumTokens, let last = tokens.ids.last, let end = tokens.ranges.last else {
      return tokens
    }
    tokens.ids = tokens.ids.prefix(maximumTokens - 1) + [last]
    tokens.ranges = tokens.ranges.prefix(maximumTokens - 1) + [end]
    return tokens
  }

  /// The texts' embeddings, each of length 1: the mean of a text's hidden states.
  ///
  /// All texts go through the model at once: give them in batches of some thousand tokens.
  ///
  /// - Returns: `[texts, embeddingDimension]`.
  public func embed(_ texts: [String]) throws -> Tensor {
    let tokens = texts.map { self.tokens(of: $0).ids }
    guard !tokens.isEmpty else { return try Tensor([Float](), shape: [0, embeddingDimension]) }
    let hidden = try model.withLock { try $0.hiddenStates(tokens, [], 8) { _, _ in } }
    var result: [Float] = []
    result.reserveCapacity(texts.count * embeddingDimension)
    var row = 0
    for text in tokens {
      result += Self.normalizedMean(hidden, rows: row..<row + text.count, width: embeddingDimension)
      row += text.count
    }
    return try Tensor(result, shape: [texts.count, embeddingDimension])
  }

  /// Runs `body`, and says how many seconds attention took in whatever went through the model meanwhile. A device is waited for
  /// before and after each layer's attention, so that it all takes a little longer.
  public func timingAttention<Result>(_ body: () throws -> Result) rethrows -> (result: Result, seconds: Double) {
    try clock.measure(body)
  }

  private static func normalizedMean(_ hidden: [Float], rows: Range<Int>, width: Int) -> [Float] {
    var sum = [Double](repeating: 0, count: width)
    for row in rows {
      for column in 0..<width { sum[column] += Double(hidden[row * width + column]) }
    }
    let length = max(sum.reduce(0) { $0 + $1 * $1 }.squareRoot(), .leastNormalMagnitude)
    return sum.map { Float($0 / length) }
  }

  /// The hidden states of the last layer, `[tokens, embeddingDimension]`, and what each layer's attention returned.
  ///
  /// - Parameters:
  ///   - ids: 1 to ``positions`` tokens.
  ///   - returning: Among weights, scores, top keys and the attention received.
  public func attention(
    over ids: [Int], returning: AttentionOutputs, topKeyCount: Int = 8
  ) throws -> (hidden: Tensor, layers: [AttentionResult]) {
    var results: [AttentionResult] = []
    let hidden = try model.withLock { try $0.hiddenStates([ids], returning, topKeyCount) { results.append($1) } }
    return (try Tensor(hidden, shape: [ids.count, embeddingDimension]), results)
  }
}
