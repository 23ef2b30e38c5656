import ArgumentParser
import Attention
import AttentionModels
import Foundation

struct Search: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Find the passages most similar to a question, and answer it from them.",
    discussion: """
      With an index that attend embed has made, or with files, which are embedded first. With both, the index is brought up \
      to date with the files, and all of it is searched, what it holds of other files too.
      """)

  @Argument(help: ArgumentHelp("The question.", valueName: "question"))
  var question: String

  @Argument(help: ArgumentHelp("Text files, and folders of them.", valueName: "path"))
  var paths: [String] = []

  @OptionGroup var index: IndexOption

  @Option(help: ArgumentHelp("Passages to show, 1 to 64.", valueName: "n"))
  var top = 5

  @Flag(help: "Give the passages to a language model, and print its answer.")
  var answer = false

  @Option(
    help: ArgumentHelp(
      "With --answer: the language model, \(ModelStore.names(of: .decoder)), or a path.", valueName: "name|path"))
  var answerModel = "smollm2"

  @Option(help: ArgumentHelp("With --answer: the most tokens of the answer.", valueName: "n"))
  var tokens = 128

  @Flag(help: "Print one JSON object a passage, best first; with --answer the answer's after them.")
  var json = false

  @OptionGroup var device: DeviceOption

  func validate() throws {
    guard AttentionCall.topKeyCounts.contains(top) else {
      throw ValidationError("--top takes 1 to 64, found \(top).")
    }
    guard tokens >= 1 else { throw ValidationError("--tokens takes 1 or more, found \(tokens).") }
    if index.index == nil, paths.isEmpty { throw ValidationError("Give --index FILE, or files to search.") }
  }

  mutating func run() throws {
    if paths.isEmpty, let path = index.index, !FileManager.default.fileExists(atPath: path) {
      throw Failure(.badInput, "\(path): expected an index that attend embed has made, found nothing")
    }
    let engine = try device.engine()
    let encoder = try index.model.location().encoder(engine)
    let built = try index.updated(with: paths, by: encoder)
    let tokens = encoder.tokenizer.encode(question).ids.count
    if tokens > encoder.maximumTokens {
      Console.note("attend: of the question's \(tokens) tokens the model reads the first \(encoder.maximumTokens)")
    }
    let hits = try built.search(question, count: top, by: encoder, on: engine)
    for (number, hit) in hits.enumerated() { try Console.write(try line(number + 1, hit)) }
    if answer { try answer(from: hits, engine) }
  }

  private func line(_ number: Int, _ hit: SearchIndex.Hit) throws -> String {
    if json { return try JSON.line(PassageRow(hit.passage, score: hit.score)) }
    let text = hit.passage.text.split(separator: "\n").joined(separator: " ").prefix(300)
    return "[\(number)] \(String(format: "%.3f", hit.score))  \(hit.passage.file):\(hit.passage.line)\n    \(text)"
  }

  /// Retrieval-augmented generation (Lewis et al. 2020): the passages stand before the question.
  private func answer(from hits: [SearchIndex.Hit], _ engine: AttentionEngine) throws {
    let location = try ModelLocation.of(answerModel, .decoder, fetching: index.model.fetch)
    let generator = try TextGenerator(location, engine: engine)
    var options = TextGenerator.Options()
    options.tokens = tokens
    options.sampling = .greedy
    let (ids, used) = try prompt(hits, generator)
    if !json { try Console.write("") }
    let isJSON = json
    let result = try generator.generate(ids, options: options) { if !isJSON { try Console.writePart($0) } }
    let sources = hits.prefix(used).map { "\($0.passage.file):\($0.passage.line)" }
    if json {
      try Console.write(try JSON.line(["answer": [result.text], "sources": sources]))
    } else {
      try Console.write("\n")
      for (number, source) in sources.enumerated() { try Console.write("[\(number + 1)] \(source)") }
    }
  }

  /// As many passages as fit the model's context with the question and the answer, the best first.
  private func prompt(_ hits: [SearchIndex.Hit], _ generator: TextGenerator) throws -> (ids: [Int], passages: Int) {
    for count in stride(from: hits.count, through: 0, by: -1) {
      let passages = hits.prefix(count).enumerated().map { "[\($0 + 1)] \($1.passage.text)" }.joined(separator: "\n\n")
      let text =
        "Use the passages to answer the question in one or two sentences.\n\n\(passages)\n\nQuestion: \(question)"
      let ids = try generator.promptIDs(text, isRaw: generator.chatTemplate == nil)
      if ids.count + tokens <= generator.positions { return (ids, count) }
    }
    throw Failure(.badInput, "the question: expected one that fits the model's \(generator.positions) tokens")
  }
}
