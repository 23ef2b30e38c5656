import AttentionTestSupport
import Foundation
import Testing

/// What `attend embed` and `attend search` keep in an index, with a tiny encoder.
@Suite struct IndexTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try TinyModels.writeEncoder(to: folder["encoder"].path)
    for name in ["texts", "notes"] {
      try FileManager.default.createDirectory(at: folder[name], withIntermediateDirectories: true)
    }
    try write("the cat sat", to: "texts/a.txt")
    try write("dogs ran .", to: "texts/b.txt")
    try write("it was tired", to: "notes/c.txt")
  }

  private func write(_ text: String, to name: String) throws { try Data(text.utf8).write(to: folder[name]) }

  private struct Row: Decodable {
    let file, text: String
    let line: Int
  }

  private func run(_ arguments: [String]) throws -> Command {
    try Command(arguments + ["--model", "encoder", "--device", "cpu"], directory: folder.url)
  }

  /// The passages of the index after some paths were embedded, `file: text`, in the order of the alphabet.
  private func embed(_ paths: String...) throws -> [String] {
    let command = try run(["embed", "--index", "i.safetensors", "--json"] + paths)
    #expect(command.status == 0, "\(command.errors)")
    return try command.lines.map {
      let row = try JSONDecoder().decode(Row.self, from: Data($0.utf8))
      return "\(row.file): \(row.text)"
    }.sorted()
  }

  @Test func passagesOfFilesThatAreNotNamedStay() throws {
    #expect(try embed("texts") == ["texts/a.txt: the cat sat", "texts/b.txt: dogs ran ."])
    #expect(try embed("notes/c.txt").count == 3)
    // A file that changed, under another spelling, and one that is gone from a folder.
    try write("the mat", to: "texts/a.txt")
    #expect(
      try embed("./notes/../texts/a.txt") == [
        "./notes/../texts/a.txt: the mat", "notes/c.txt: it was tired", "texts/b.txt: dogs ran .",
      ])
    try FileManager.default.removeItem(at: folder["texts/b.txt"])
    #expect(try embed("texts/") == ["notes/c.txt: it was tired", "texts/a.txt: the mat"])
    // A folder of a name that begins with that of another is another.
    #expect(try embed("notes", "notes/c.txt").count == 2)
  }

  /// A model is known by what it makes of a text, not by its path.
  @Test func anIndexIsOfAModelAndNotOfAPath() throws {
    _ = try embed("texts")
    try FileManager.default.copyItem(at: folder["encoder"], to: folder["moved"])
    try TinyModels.writeEncoder(to: folder["other"].path)
    // Of the same sizes, but its words are others'.
    let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + TinyModels.words.reversed()
    try write(vocabulary.joined(separator: "\n") + "\n", to: "other/vocab.txt")
    for (model, status) in [("./encoder", 0), (folder["moved"].path, 0), ("other", 2)] as [(String, Int32)] {
      let command = try Command(
        ["search", "dogs", "--index", "i.safetensors", "--model", model, "--device", "cpu"], directory: folder.url)
      #expect(command.status == status, "\(model): \(command.errors)")
      #expect(command.errors.contains("expected an index made with the model \(model), found") == (status != 0))
    }
  }

  /// The tiny encoder reads 40 tokens at once, two of them its own.
  @Test func passagesThatAreTooLongAreCut() throws {
    let words = (0..<100).map { TinyModels.words[$0 * $0 % 6] }.map { $0 == "##s" ? "dogs" : $0 }
    let lines = [words[..<30], words[30..<95], words[95...]].map { $0.joined(separator: " ") }
    try write("the mat\n\n" + lines.joined(separator: "\n"), to: "long.txt")
    let command = try run(["embed", "long.txt", "--json"])
    let rows = try command.lines.map { try JSONDecoder().decode(Row.self, from: Data($0.utf8)) }
    #expect(rows.first?.text == "the mat")
    let pieces = rows.dropFirst()
    #expect(pieces.count == 3)
    #expect(pieces.map(\.line) == [3, 4, 4])
    #expect(pieces.flatMap { $0.text.split { $0.isWhitespace } }.map(String.init) == words)
    #expect(pieces.allSatisfy { $0.text.split { $0.isWhitespace }.count <= 38 })

    // No blank to end a piece at: a word of 98 tokens, whose rest takes others than it did, and 120 more.
    let dense = "cat" + String(repeating: "s", count: 97) + String(repeating: ".the", count: 60)
    try write(dense, to: "long.txt")
    let cut = try run(["embed", "long.txt", "--json"])
    let parts = try cut.lines.map { try JSONDecoder().decode(Row.self, from: Data($0.utf8)).text }
    #expect(parts.count == 6)
    #expect(parts.joined() == dense)

    let question = try run(["search", words.joined(separator: " "), "long.txt"])
    #expect(question.errors.contains("of the question's 102 tokens the model reads the first 40"))
  }

  @Test func searchKeepsThemToo() throws {
    _ = try embed("texts", "notes")
    try write("the dog", to: "texts/b.txt")
    let command = try run([
      "search", "it was tired", "texts/b.txt", "--index", "i.safetensors", "--top", "9", "--json",
    ])
    #expect(command.status == 0, "\(command.errors)")
    let rows = try command.lines.map { try JSONDecoder().decode(Row.self, from: Data($0.utf8)) }
    #expect(rows.first?.file == "notes/c.txt")
    #expect(Set(rows.map(\.text)) == ["the cat sat", "the dog", "it was tired"])
  }
}
