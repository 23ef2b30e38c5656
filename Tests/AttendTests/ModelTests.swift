import AttentionTestSupport
import Foundation
import Testing

/// The commands of models, on tiny ones.
@Suite struct ModelTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try TinyModels.writeEncoder(to: folder["encoder"].path)
    try TinyModels.writeDecoder(to: folder["decoder"].path)
  }

  private func run(_ arguments: String...) throws -> Command {
    try Command(arguments + ["--device", "cpu"], directory: folder.url)
  }

  @Test func explainsInWords() throws {
    let command = try run("explain", "The cat sat.", "--model", "encoder", "--from", "cat")
    #expect(command.status == 0, "\(command.errors)")
    #expect(command.output.hasPrefix("From 'cat', "))
    #expect(command.output.contains("[cat]("))
    #expect(command.output.contains("Rollout over all layers: "))
    let layer = try run("explain", "The cat sat.", "--model", "encoder", "--from", "CAT", "--layer", "1", "--head", "0")
    #expect(layer.output.hasPrefix("From 'cat', layer 1 head 0:"))
  }

  @Test(
    arguments: [
      ([:], true), (["NO_COLOR": ""], true), (["NO_COLOR": "0"], false), (["TERM": "dumb"], false),
    ] as [([String: String], Bool)])
  func coloursCanBeTurnedOff(variables: [String: String], areShown: Bool) throws {
    let terminal = try Terminal()
    let environment = ["TERM": "xterm", "NO_COLOR": nil].merging(variables.mapValues(Optional.some)) { $1 }
    let command = try Command(
      ["explain", "The cat sat.", "--model", "encoder", "--device", "cpu"], environment: environment,
      directory: folder.url, outputPath: terminal.path)
    #expect(command.status == 0, "\(command.errors)")
    let text = terminal.text()
    #expect(text.contains("\u{1b}[") == areShown)
    // Without colours, each word's percents.
    #expect((text.contains("sat(") || text.contains("[sat](")) != areShown)
  }

  @Test func explainsInJSON() throws {
    struct Row: Decodable {
      let tokens, words: [String]
      let attention: [[[[Float]]]]
    }
    let command = try run("explain", "The cats sat.", "--model", "encoder", "--json")
    let row = try JSONDecoder().decode(Row.self, from: Data(command.output.utf8))
    #expect(row.tokens == ["[CLS]", "the", "cat", "##s", "sat", ".", "[SEP]"])
    #expect(row.words == ["[CLS]", "The", "cats", "sat", ".", "[SEP]"])
    #expect(row.attention.count == 2)
    #expect(row.attention.allSatisfy { $0.count == 2 && $0.allSatisfy { $0.count == 7 } })
    for row in row.attention[1][1] { #expect(abs(row.reduce(0, +) - 1) < 1e-5) }
  }

  @Test func writesPagesAndDrawingsThatNeedNothingElse() throws {
    let text = "The </script> & \"cat\" ran"
    let command = try run(
      "explain", text, "the dog", "--model", "encoder", "--html", "page.html", "--svg", "maps.svg")
    #expect(command.status == 0, "\(command.errors)")
    #expect(command.output.isEmpty)
    let page = String(decoding: try Data(contentsOf: folder["page.html"]), as: UTF8.self)
    #expect(page.components(separatedBy: "</script>").count == 2)
    #expect(!page.replacingOccurrences(of: "http://www.w3.org/2000/svg", with: "").contains("://"))
    #expect(page.contains("The &lt;/script&gt; &amp; &quot;cat&quot; ran"))
    #expect(page.components(separatedBy: "class=\"head\"").count == 5)
    let drawing = String(decoding: try Data(contentsOf: folder["maps.svg"]), as: UTF8.self)
    #expect(drawing.contains("The &lt;/script&gt; &amp; &quot;cat&quot; ran"))
    #expect(drawing.hasSuffix("</svg>\n"))
    let both = try run("explain", text, "--model", "encoder", "--html", "new", "--svg", "./new")
    #expect(both.status == 2)
    #expect(both.errors.contains("would both be written to one file"))
    #expect(!FileManager.default.fileExists(atPath: folder["new"].path))
  }

  @Test func refusesWhatIsNotThere() throws {
    for (arguments, message) in [
      (["--from", "dog"], "--from: expected a word of the text"),
      (["--layer", "2"], "--layer: expected 0 to 1, found 2"),
      (["--layer", "0", "--head", "9"], "--head: expected 0 to 1, found 9"),
    ] {
      let command = try Command(["explain", "the cat", "--model", "encoder"] + arguments, directory: folder.url)
      #expect(command.status == 2)
      #expect(command.errors.contains(message))
    }
    let missing = try Command(
      ["explain", "a", "--model", "minilm"], environment: ["ATTENTION_MODELS": folder.url.path])
    #expect(missing.status == 2)
    #expect(missing.errors.contains("attend fetch minilm"))
    #expect(try run("embed", "nowhere.txt", "--model", "encoder", "--index", "i").status == 2)
    #expect(try run("explain", "a", "--model", "decoder/tokenizer.json").errors.contains("GGUF"))
  }

  @Test func embedsAndFinds() throws {
    struct Row: Decodable {
      let file, text: String
      let line: Int
      let score: Double?
      let embedding: [Float]?
    }
    func rows(_ command: Command) throws -> [Row] {
      try command.output.split(separator: "\n").map { try JSONDecoder().decode(Row.self, from: Data($0.utf8)) }
    }
    try FileManager.default.createDirectory(at: folder["texts"], withIntermediateDirectories: true)
    try Data("the cat sat\non the mat .\n\ndogs ran .\n".utf8).write(to: folder["texts/a.txt"])
    try Data("it was tired".utf8).write(to: folder["texts/b.md"])
    try Data([0, 1, 2]).write(to: folder["texts/c.bin"])
    let command = try run("embed", "texts", "--model", "encoder", "--index", "i.safetensors", "--json")
    let embedded = try rows(command)
    #expect(embedded.map(\.text) == ["the cat sat\non the mat .", "dogs ran .", "it was tired"])
    #expect(embedded.map(\.line) == [1, 4, 1])
    #expect(embedded.allSatisfy { $0.embedding?.count == 16 && $0.score == nil })
    let found = try rows(try run("search", "dogs ran .", "--model", "encoder", "--index", "i.safetensors", "--json"))
    #expect(found.first?.text == "dogs ran .")
    #expect(abs((found.first?.score ?? 0) - 1) < 1e-6)
    let other = try run("search", "a", "--model", "decoder", "--index", "i.safetensors")
    #expect(other.status == 2)
    let lines = try rows(try run("search", "it", "texts", "--model", "encoder", "--by", "line", "--json", "--top", "9"))
    #expect(lines.count == 4)
    let answer = try run(
      "search", "it", "texts", "--model", "encoder", "--top", "1", "--answer", "--answer-model", "decoder", "--tokens",
      "3")
    #expect(answer.status == 0, "\(answer.errors)")
    #expect(
      answer.output.hasSuffix(".txt:1\n") || answer.output.hasSuffix(".md:1\n") || answer.output.hasSuffix(":4\n"))
  }

  @Test func generates() throws {
    struct Row: Decodable {
      let promptIds, tokenIds: [Int]
      let text: String
      let promptTokensPerSecond, tokensPerSecond: Double
    }
    let command = try run(
      "generate", "Hi<|im_end|>", "--model", "decoder", "--raw", "--greedy", "--tokens", "5", "--json")
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let row = try decoder.decode(Row.self, from: Data(command.output.utf8))
    #expect(row.promptIds == [72, 105, 257])
    #expect(row.tokenIds.count == 5)
    #expect(row.promptTokensPerSecond > 0)
    let text = try run("generate", "Hi", "--model", "decoder", "--tokens", "5", "--kv-type", "f16")
    #expect(text.status == 0)
    #expect(text.errors.contains("tokens/s"))
    let long = try run("generate", "Hi", "--model", "decoder", "--tokens", "100000")
    #expect(long.status == 2)
    #expect(long.errors.contains("--window"))
  }

  /// A model of the wrong kind is not to be fetched first.
  @Test(arguments: [
    (["generate", "a", "--model", "minilm"], "a language model, such as smollm2, found an encoder"),
    (
      ["embed", "a", "--json", "--model", "smollm2"], "an encoder of sentences, such as minilm, found a language model"
    ),
    (
      ["search", "a", "a.txt", "--model", "smollm2"], "an encoder of sentences, such as minilm, found a language model"
    ),
  ])
  func modelsOfTheWrongKindAreRefused(arguments: [String], message: String) throws {
    let command = try Command(arguments, environment: ["ATTENTION_MODELS": folder.url.path], directory: folder.url)
    #expect(command.status == 2)
    #expect(command.errors.contains(message))
    #expect(!command.errors.contains("fetch"))
    let help = try Command([arguments[0], "--help"]).output.split(separator: "\n").filter { $0.contains("--model ") }
    #expect(!help.joined().contains(arguments.last ?? ""))
  }

  @Test func benchFetchesWhereItIsAskedTo() throws {
    let environment = ["ATTENTION_MODELS": folder["models"].path, "PATH": folder.url.path]
    let without = try Command(["bench", "--model", "minilm"], environment: environment)
    #expect(without.status == 2)
    #expect(without.errors.contains("run 'attend fetch minilm', or give --fetch"))
    let with = try Command(["bench", "--model", "minilm", "--fetch"], environment: environment)
    #expect(with.errors.contains("Python 3 with pip"))
    #expect(try Command(["bench", "--fetch"]).errors.hasPrefix("Error: --fetch takes a --model"))
  }

  @Test func benchOfAModelRefusesWhatIsNotOfAModel() throws {
    let command = try run(
      "bench", "--model", "encoder", "--heads", "2", "--causal", "--query-length", "8", "--kernel", "fused",
      "--minimum-seconds", "0", "--kv-type", "f16")
    #expect(command.status == 2)
    #expect(
      command.errors.hasPrefix(
        "Error: --model: expected no --heads, --causal, --kv-type, --kernel, --minimum-seconds beside"))
    for (model, most) in [("encoder", 40), ("decoder", 511)] {
      let long = try run("bench", "--model", model, "--query-length", "8,600", "--repetitions", "1")
      #expect(long.status == 2)
      #expect(long.output.isEmpty)
      #expect(long.errors == "attend: --query-length: expected at most \(most), what \(model) can read, found 600\n")
    }
    // The usual contexts are those of larger models.
    let usual = try run("bench", "--model", "encoder", "--repetitions", "1", "--json")
    #expect(usual.lines.count == 1)
    #expect(usual.output.contains("\"context\":40,"))
  }

  @Test func timesAModel() throws {
    for model in ["encoder", "decoder"] {
      let command = try run("bench", "--model", model, "--query-length", "8", "--repetitions", "1", "--json")
      #expect(command.status == 0, "\(command.errors)")
      #expect(command.output.contains("\"attention_share\":"))
    }
  }

  /// Without Python, or with one that fails, fetching is an error and leaves nothing.
  @Test func fetchingWithoutPythonIsAnError() throws {
    let environment = ["ATTENTION_MODELS": folder["models"].path, "PATH": folder.url.path]
    let command = try Command(["fetch", "minilm"], environment: environment)
    #expect(command.status == 2)
    #expect(command.errors.contains("Python 3 with pip"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder["models"].path).isEmpty)
  }

  /// What is a day old is left of a fetch that was interrupted; what is younger may be at work.
  @Test(arguments: [true, false])
  func fetchingRemovesWhatWasLeft(isThere: Bool) throws {
    let models = folder["models"]
    func make(_ name: String, hoursOld: Double) throws {
      let url = models.appending(path: name)
      try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
      try Data("wheel".utf8).write(to: url.appending(path: "a.whl"))
      try FileManager.default.setAttributes(
        [.modificationDate: Date(timeIntervalSinceNow: -3600 * hoursOld)], ofItemAtPath: url.path)
    }
    let names = (0..<3).map { _ in UUID().uuidString }
    try make(".minilm-\(names[0])", hoursOld: 25)
    let kept = [".minilm-\(names[1])", ".smollm2-\(names[2])", ".minilm-notes", "minilm"]
    for (name, hours) in zip(kept, [23.0, 25, 25, 25]) { try make(name, hoursOld: hours) }
    if isThere {
      for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        try Data().write(to: models.appending(path: "minilm/" + name))
      }
    }
    let command = try Command(
      ["fetch", "minilm"], environment: ["ATTENTION_MODELS": models.path, "PATH": folder.url.path])
    #expect(command.status == (isThere ? 0 : 2))
    #expect(try FileManager.default.contentsOfDirectory(atPath: models.path).sorted() == kept.sorted())
  }
}
