import Attention
import Foundation
import Synchronization
import TensorFiles

/// A Llama-style decoder with its tokenizer: continues texts.
///
/// ```swift
/// let generator = try TextGenerator(.gguf("SmolLM2-135M-Instruct.Q4_1.gguf"), engine: engine)
/// let result = try generator.generate("The capital of France is", options: .init()) { print($0, terminator: "") }
/// ```
///
/// It may be used from any thread; calls take turns.
public final class TextGenerator: Sendable {
  /// How a text is continued.
  public struct Options: Sendable {
    /// The most tokens that are generated.
    public var tokens = 256
    public var sampling = SamplingOptions()
    /// Whether the prompt is the text itself, not a message to be answered.
    public var isRaw = false
    /// Whether generation goes on where the model would end.
    public var ignoresEnd = false
    /// Keeps memory constant: attention sees the first `sinks` tokens and the last `window`.
    public var rolling: KVCache.Options.Rolling?
    public var storage = KVCacheStorage.float32

    public init() {}
  }

  /// What came of it.
  public struct Result: Sendable {
    public var promptIDs: [Int]
    public var tokenIDs: [Int]
    /// The generated text, without special tokens.
    public var text: String
    public var promptSeconds: Double
    public var generationSeconds: Double

    public var promptTokensPerSecond: Double { Double(promptIDs.count) / max(promptSeconds, 1e-9) }
    /// Of the tokens after the first, which the prompt's last step gives.
    public var tokensPerSecond: Double { Double(max(0, tokenIDs.count - 1)) / max(generationSeconds, 1e-9) }
  }

  public let tokenizer: any Tokenizer
  public let layers: Int
  public let heads: Int
  /// The longest context that the model was trained on.
  public let positions: Int
  /// How it is asked; nil where the model does not say.
  public let chatTemplate: ChatTemplate?

  private let endIDs: Set<Int>
  private let model: Mutex<AnyLlama>
  private let clock = AttentionClock()

  /// A model on some backend.
  private struct AnyLlama {
    /// Begins a text, and gives its number.
    let begin: (KVCacheStorage, KVCache.Options.Rolling?) throws -> Int
    /// Reads a text's next tokens: the logits after them.
    let logits: (_ text: Int, _ ids: [Int]) throws -> [Float]
    /// Forgets a text.
    let end: (_ text: Int) -> Void
    let attention:
      (_ ids: [Int], AttentionOutputs, _ topKeyCount: Int, _ visit: (Int, AttentionResult) throws -> Void) throws ->
        Void

    init<Backend: ModelBackend>(_ model: LlamaModel<Backend>) {
      var contexts: [Int: LlamaModel<Backend>.Context] = [:]
      var begun = 0
      begin = { storage, rolling in
        begun += 1
        contexts[begun] = try model.makeContext(storage: storage, rolling: rolling)
        return begun
      }
      logits = { text, ids in
        guard let context = contexts[text] else {
          throw ModelError("text", found: "none", expected: "one that has begun")
        }
        return try model.logits(after: ids, in: context)
      }
      end = { contexts[$0] = nil }
      attention = { try model.attention(over: $0, returning: $1, topKeyCount: $2, visit: $3) }
    }

    init(
      _ configuration: LlamaConfiguration, _ weights: some WeightFile, _ names: LlamaNames, _ engine: AttentionEngine,
      _ clock: AttentionClock
    ) throws {
      if let executor = try engine.soleExecutor {
        let backend = try OpenCLBackend(engine: engine, executor: executor, clock: clock)
        self.init(try LlamaModel(configuration, weights: weights, names: names, on: backend))
      } else {
        self.init(
          try LlamaModel(configuration, weights: weights, names: names, on: CPUBackend(engine: engine, clock: clock)))
      }
    }
  }

  /// Tokens of a prompt that go through the model at once.
  private static let chunk = 512

  /// - Throws: ``ModelError``, ``TokenizerError`` or `TensorFileError` for files that hold no such model,
  ///   `AttentionError` for a device that fails.
  public init(_ location: ModelLocation, engine: AttentionEngine) throws {
    let configuration: LlamaConfiguration
    let llama: AnyLlama
    var ends: [Int?]
    switch location {
    case .gguf(let path):
      let file = try GGUF(path: path)
      configuration = try LlamaConfiguration(file)
      tokenizer = try Tokenizers.load(file)
      chatTemplate = file.metadata["tokenizer.chat_template"]?.asString.flatMap(ChatTemplate.init(jinja:))
      ends = [file.metadata["tokenizer.ggml.eos_token_id"]?.asInteger]
      llama = try AnyLlama(configuration, file, .gguf, engine, clock)
    case .folder(let folder):
      configuration = try LlamaConfiguration(folder: folder)
      tokenizer = try Tokenizers.load(folder: folder)
      let tokens = Self.tokenConfiguration(folder)
      chatTemplate = tokens.chatTemplate.flatMap(ChatTemplate.init(jinja:))
      ends = [tokens.end.flatMap(tokenizer.id(of:))]
      let weights = try MappedSafetensors(path: folder + "/model.safetensors")
      llama = try AnyLlama(configuration, weights, .folder, engine, clock)
    }
    guard tokenizer.vocabularySize <= configuration.vocabularySize else {
      throw ModelError(
        "tokenizer", found: "\(tokenizer.vocabularySize) tokens",
        expected: "at most the model's \(configuration.vocabularySize)")
    }
    ends += ["<|im_end|>", "<|endoftext|>"].map(tokenizer.id(of:))
    endIDs = Set(ends.compactMap { $0 })
    layers = configuration.layers
    heads = configuration.heads
    positions = configuration.positions
    model = Mutex(llama)
  }

  private struct TokenConfiguration: Decodable {
    var chatTemplate: String?
    var end: String?
    enum CodingKeys: String, CodingKey {
      case chatTemplate = "chat_template"
      case end = "eos_token"
    }
  }

  private static func tokenConfiguration(_ folder: String) -> TokenConfiguration {
    let data = FileManager.default.contents(atPath: folder + "/tokenizer_config.json") ?? Data()
    return (try? JSONDecoder().decode(TokenConfiguration.self, from: data)) ?? TokenConfiguration()
  }

  /// The tokens of a prompt: the text's own, or those of a conversation that asks for an answer to it.
  ///
  /// - Throws: ``ModelError`` where the model says no chat template that is known.
  public func promptIDs(_ prompt: String, isRaw: Bool) throws -> [Int] {
    if isRaw { return tokenizer.encode(prompt).ids }
    guard let chatTemplate else {
      throw ModelError(
        "model", found: "no chat template that is known", expected: "one; or give the prompt as it is, --raw")
    }
    return tokenizer.encode(chatTemplate.text(user: prompt)).ids
  }

  /// Continues a text.
  ///
  /// - Parameters:
  ///   - prompt: The text, or the message to answer.
  ///   - emit: Given the text as it comes. The model is free meanwhile, for other texts too.
  /// - Throws: ``ModelError`` for a prompt without tokens, or one that with the tokens to come is longer than the model's
  ///   positions where no window bounds it.
  public func generate(
    _ prompt: String, options: Options, emit: (String) throws -> Void = { _ in }
  ) throws -> Result {
    try generate(try promptIDs(prompt, isRaw: options.isRaw), options: options, emit: emit)
  }

  /// As ``generate(_:options:emit:)``, from tokens.
  public func generate(
    _ promptIDs: [Int], options: Options, emit: (String) throws -> Void = { _ in }
  ) throws -> Result {
    try options.sampling.check()
    guard options.tokens >= 0 else { throw ModelError("tokens", found: "\(options.tokens)", expected: "0 or more") }
    let total = promptIDs.count.addingReportingOverflow(options.tokens)
    guard options.rolling != nil || (!total.overflow && total.partialValue <= positions) else {
      throw ModelError(
        "prompt", found: "\(promptIDs.count) tokens and \(options.tokens) to come",
        expected: "at most \(positions) together, or a --window")
    }
    var sampler = Sampler(options.sampling)
    var text = TokenText(tokenizer)
    var result = Result(promptIDs: promptIDs, tokenIDs: [], text: "", promptSeconds: 0, generationSeconds: 0)
    let number = try model.withLock { try $0.begin(options.storage, options.rolling) }
    defer { model.withLock { $0.end(number) } }
    func logits(after ids: [Int]) throws -> [Float] { try model.withLock { try $0.logits(number, ids) } }

    let start = ContinuousClock.now
    // A query of a rolling cache must still find what it may see.
    let chunk = min(Self.chunk, options.rolling?.window ?? Self.chunk)
    var next: [Float] = []
    var rest = promptIDs[...]
    repeat {
      next = try logits(after: Array(rest.prefix(chunk)))
      rest = rest.dropFirst(chunk)
    } while !rest.isEmpty
    let read = ContinuousClock.now
    result.promptSeconds = (read - start) / .seconds(1)
    while result.tokenIDs.count < options.tokens {
      let id = sampler.choose(next)
      if endIDs.contains(id), !options.ignoresEnd { break }
      result.tokenIDs.append(id)
      try emit(text.append(id))
      if result.tokenIDs.count < options.tokens { next = try logits(after: [id]) }
    }
    result.generationSeconds = (ContinuousClock.now - read) / .seconds(1)
    try emit(text.end())
    result.text = tokenizer.decode(result.tokenIDs, skippingSpecial: true)
    return result
  }

  /// Runs `body`, and says how many seconds attention took in whatever went through the model meanwhile. A device is waited for
  /// before and after each layer's attention, so that it all takes a little longer.
  public func timingAttention<Result>(_ body: () throws -> Result) rethrows -> (result: Result, seconds: Double) {
    try clock.measure(body)
  }

  /// Who attends to whom in a text, each token to those before it.
  ///
  /// - Throws: ``ModelError`` where the text has no token or more than the model has ``positions``.
  public func explain(_ text: String) throws -> Explanation {
    let tokenized = tokenizer.encode(text)
    guard tokenized.ids.count <= positions else {
      throw ModelError("text", found: "\(tokenized.ids.count) tokens", expected: "1 to \(positions)")
    }
    return try Explanation(text, tokenized: tokenized, by: tokenizer, layers: layers, heads: heads) {
      returning, count in
      var results: [AttentionResult] = []
      try model.withLock { model in
        try model.attention(tokenized.ids, returning, count) { results.append($1) }
      }
      return results
    }
  }
}

/// Tokens as text that can be shown while more are to come: a character that is cut in two waits for its rest.
private struct TokenText {
  private let tokenizer: any Tokenizer
  private var waiting: [Int] = []

  /// No character has more bytes.
  private static let longestWait = 4

  init(_ tokenizer: any Tokenizer) { self.tokenizer = tokenizer }

  mutating func append(_ id: Int) -> String {
    waiting.append(id)
    let text = tokenizer.decode(waiting, skippingSpecial: true)
    guard !text.hasSuffix("\u{fffd}") || waiting.count >= Self.longestWait else { return "" }
    waiting = []
    return text
  }

  mutating func end() -> String {
    defer { waiting = [] }
    return tokenizer.decode(waiting, skippingSpecial: true)
  }
}
