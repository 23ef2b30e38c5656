import ArgumentParser
import Attention
import AttentionModels

struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Continue a text, or answer a message, with a language model.",
    discussion: "The text is printed as it comes; how fast it came is said on stderr.")

  @Argument(help: ArgumentHelp("The message to answer, or with --raw the text to continue.", valueName: "prompt"))
  var prompt: String

  @OptionGroup var model: DecoderOption

  @Flag(help: "Give the prompt to the model as it is, without a chat template.")
  var raw = false

  @OptionGroup var sampling: SamplingOption

  @Option(help: ArgumentHelp("The most tokens to generate.", valueName: "n"))
  var tokens = 256

  @Option(help: ArgumentHelp("Attend to the last n tokens and the sinks alone; memory stays constant.", valueName: "n"))
  var window: Int?

  @Option(help: ArgumentHelp("With --window: attend to the first m tokens too.", valueName: "m"))
  var sinks: Int?

  @Option(
    help: ArgumentHelp(
      "How keys and values are kept: \(KVCacheStorage.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: "type"))
  var kvType: KVCacheStorage = .float32

  @Flag(help: "Print one JSON object at the end, and no text before it.")
  var json = false

  @OptionGroup var device: DeviceOption

  func validate() throws {
    guard tokens >= 0 else { throw ValidationError("--tokens takes 0 or more, found \(tokens).") }
    if let window, window < 1 { throw ValidationError("--window takes 1 or more, found \(window).") }
    if let sinks, sinks < 0 { throw ValidationError("--sinks takes 0 or more, found \(sinks).") }
    if sinks != nil, window == nil { throw ValidationError("--sinks takes a --window with it.") }
  }

  mutating func run() throws {
    let generator = try TextGenerator(try model.location(), engine: try device.engine())
    var options = TextGenerator.Options()
    options.tokens = tokens
    options.sampling = sampling.options
    options.isRaw = raw
    options.ignoresEnd = raw && sampling.greedy
    options.storage = kvType
    options.rolling = window.map { KVCache.Options.Rolling(sinks: sinks ?? 4, window: $0) }
    let isJSON = json
    let result = try generator.generate(prompt, options: options) { if !isJSON { try Console.writePart($0) } }
    if json {
      try Console.write(try JSON.line(Row(result)))
    } else {
      try Console.write("")
      Console.note(
        "attend: prompt \(Quantity.count(result.promptIDs.count, "token")), \(Quantity.rounded(result.promptTokensPerSecond)) tokens/s; "
          + "generated \(result.tokenIDs.count), \(Quantity.rounded(result.tokensPerSecond)) tokens/s")
    }
  }

  private struct Row: Encodable {
    let promptIds: [Int]
    let tokenIds: [Int]
    let text: String
    let promptTokensPerSecond: Double
    let tokensPerSecond: Double

    init(_ result: TextGenerator.Result) {
      promptIds = result.promptIDs
      tokenIds = result.tokenIDs
      text = result.text
      promptTokensPerSecond = result.promptTokensPerSecond
      tokensPerSecond = result.tokensPerSecond
    }
  }
}

/// `--greedy`, or how tokens are drawn.
struct SamplingOption: ParsableArguments {
  @Flag(help: "Take the likeliest token, always.")
  var greedy = false

  @Option(help: ArgumentHelp("What the logits are divided by.", valueName: "t"))
  var temperature: Float = 0.8

  @Option(help: ArgumentHelp("Draw among the k likeliest; 0 is all.", valueName: "k"))
  var topK = 40

  @Option(help: ArgumentHelp("Draw among the likeliest that together have this probability.", valueName: "p"))
  var topP: Float = 0.95

  @Option(
    help: ArgumentHelp("Draw among those of at least this share of the likeliest one's probability.", valueName: "p"))
  var minP: Float = 0.05

  @Option(help: ArgumentHelp("What the draws follow from.", valueName: "s"))
  var seed: UInt64 = 0

  var options: SamplingOptions {
    guard !greedy else { return .greedy }
    var options = SamplingOptions()
    options.temperature = temperature
    options.topK = topK
    options.topP = topP
    options.minP = minP
    options.seed = seed
    return options
  }
}
