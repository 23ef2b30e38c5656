import ArgumentParser
import Attention
import AttentionModels

struct Explain: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show who attends to whom in a text.",
    discussion: """
      Runs a model over the text and shows the attention of its layers and heads. In the terminal: the words, shaded by \
      the attention from one of them, and the heads that say most about it. Two texts are printed one below the other; a \
      page has them side by side. Layers and heads are counted from 0.
      Of a text of more than \(Explanation.longestWhole) tokens, each token's most attended keys take the place of whole \
      maps, and there are neither pages nor drawings. NO_COLOR, set to anything, or TERM=dumb turn shading into percents.
      """)

  @Argument(help: ArgumentHelp("One text, or two to compare.", valueName: "text"))
  var texts: [String]

  @OptionGroup var model: ModelOption

  @Option(
    help: ArgumentHelp("The word to look from, or its number after #; by default the most telling.", valueName: "word"))
  var from: String?

  @Option(help: ArgumentHelp("This layer alone.", valueName: "l"))
  var layer: Int?

  @Option(help: ArgumentHelp("This head alone; with --layer.", valueName: "h"))
  var head: Int?

  @Option(help: ArgumentHelp("Write a page to look at in a browser: all heads, links, rollout.", valueName: "file"))
  var html: String?

  @Option(help: ArgumentHelp("Write the heads' maps as a drawing.", valueName: "file"))
  var svg: String?

  @Flag(
    help: ArgumentHelp(
      "Print one JSON object a text: tokens, words, attention[layer][head][query][key].",
      discussion: "Of a long text, top_keys and top_weights take the place of attention."))
  var json = false

  @OptionGroup var device: DeviceOption

  func validate() throws {
    guard (1...2).contains(texts.count) else {
      throw ValidationError("Give one text, or two to compare; found \(texts.count).")
    }
    if head != nil, layer == nil { throw ValidationError("--head takes a --layer with it.") }
    if let html, let svg, OutputFolder.areSame(html, svg) {
      throw ValidationError("--html \(html) and --svg \(svg) would both be written to one file.")
    }
  }

  mutating func run() throws {
    let location = try model.location()
    let explain = try Self.explainer(location, try device.engine())
    let explanations = try texts.map(explain)
    for explanation in explanations { try check(explanation) }
    if let html { try ExplainPage(explanations, model: model.model, from: from).write(to: html) }
    if let svg { try ExplainDrawing.write(explanations, layer: layer, head: head, to: svg) }
    if json {
      for explanation in explanations { try Console.write(try ExplainJSON.line(explanation, layer: layer, head: head)) }
    } else if html == nil && svg == nil {
      for (index, explanation) in explanations.enumerated() {
        if index > 0 { try Console.write("") }
        try Console.write(try ExplainText(explanation, from: from, layer: layer, head: head).text())
      }
    }
  }

  /// What explains a text, by the kind of model.
  private static func explainer(
    _ location: ModelLocation, _ engine: AttentionEngine
  ) throws -> (String) throws -> Explanation {
    if try location.isDecoder {
      let generator = try TextGenerator(location, engine: engine)
      return { try generator.explain($0) }
    }
    let encoder = try location.encoder(engine)
    return { try encoder.explain($0) }
  }

  private func check(_ explanation: Explanation) throws {
    if let layer, !(0..<explanation.layers).contains(layer) {
      throw Failure(.badInput, "--layer: expected 0 to \(explanation.layers - 1), found \(layer)")
    }
    if let head, !(0..<explanation.heads).contains(head) {
      throw Failure(.badInput, "--head: expected 0 to \(explanation.heads - 1), found \(head)")
    }
    if let from, explanation.words.find(from) == nil {
      let words = explanation.words.texts.prefix(40).joined(separator: " ")
      throw Failure(.badInput, "--from: expected a word of the text (\(words)), found '\(from)'")
    }
  }
}
