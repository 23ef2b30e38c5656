import ArgumentParser
import Attention
import AttentionModels
import Foundation

struct Embed: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Embed the passages of text files, into an index that attend search reads.",
    discussion: """
      The index's passages of the files that are named, and of those in folders that are named, become what the files say \
      now, and go where a file has gone from its folder; its passages of other files stay. What the index has embedded \
      before is not embedded again: run it again after files have changed, or after it was stopped.
      """)

  @Argument(help: ArgumentHelp("Text files, and folders of them.", valueName: "path"))
  var paths: [String]

  @OptionGroup var index: IndexOption
  @OptionGroup var device: DeviceOption

  @Flag(help: "Print one JSON object a passage of the index, its embedding among it.")
  var json = false

  func validate() throws {
    if index.index == nil, !json {
      throw ValidationError("Give --index FILE to keep the embeddings, or --json to print them.")
    }
  }

  mutating func run() throws {
    let encoder = try index.model.location().encoder(try device.engine())
    let built = try index.updated(with: paths, by: encoder)
    guard json else {
      return try Console.write("\(Quantity.count(built.passages.count, "passage")) in \(index.index ?? "")")
    }
    for (number, passage) in built.passages.enumerated() {
      try Console.write(try JSON.line(PassageRow(passage, score: nil, embedding: built.embedding(number))))
    }
  }
}

/// A passage in JSON.
struct PassageRow: Encodable {
  let file: String
  let line: Int
  let text: String
  let score: OrNull<Double>
  let embedding: [Float]?

  init(_ passage: Passage, score: Double?, embedding: [Float]? = nil) {
    file = passage.file
    line = passage.line
    text = passage.text
    self.score = OrNull(score)
    self.embedding = embedding
  }
}

/// `--index`, and how it is made.
struct IndexOption: ParsableArguments {
  @OptionGroup var model: EncoderOption

  @Option(help: ArgumentHelp("The index, a safetensors file.", valueName: "file"))
  var index: String?

  @Option(
    help: ArgumentHelp(
      "What a passage is: paragraph or line. One that is longer than the model reads at once is cut into several.",
      valueName: "unit"))
  var by: PassageReader.Unit = .paragraph

  /// The index, brought up to date with the files where some are given; what it holds of other files stays.
  func updated(with paths: [String], by encoder: TextEncoder) throws -> SearchIndex {
    var built = try existing(encoder) ?? SearchIndex(model: model.model, dimension: encoder.embeddingDimension)
    guard !paths.isEmpty else { return built }
    let named = NamedPaths(paths)
    let kept = Set(built.passages.map(\.file)).filter { !named.contains($0) }
    let others = built.passages.filter { kept.contains($0.file) }
    let passages = others + (try PassageReader(unit: by).passages(of: paths)).flatMap(encoder.pieces)
    let bar = ProgressLine()
    let path = index
    try built.update(to: passages, by: encoder) {
      if let path { try $0.write(to: path) }
    } progress: { done in
      bar.show(Self.bar(done, of: passages.count))
    }
    bar.clear()
    return built
  }

  private func existing(_ encoder: TextEncoder) throws -> SearchIndex? {
    guard let index, FileManager.default.fileExists(atPath: index) else { return nil }
    let found = try SearchIndex(path: index)
    guard try found.isMade(by: encoder) else {
      throw Failure(
        .badInput,
        "\(index): expected an index made with the model \(model.model), found one made with another, by the name of "
          + found.model)
    }
    return found
  }

  private static func bar(_ done: Int, of total: Int) -> String {
    let width = 30
    let filled = total > 0 ? width * done / total : width
    return "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
      + "] \(done) of \(total) passages"
  }
}

extension PassageReader.Unit: ExpressibleByArgument {}
