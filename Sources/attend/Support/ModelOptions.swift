import ArgumentParser
import Attention
import AttentionModels

/// `--model` and `--fetch`.
struct ModelOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The model: \(ModelStore.known.map(\.name).joined(separator: ", ")), or the path of a folder or a GGUF file.",
      valueName: "name|path"))
  var model: String

  @Flag(help: "Fetch the model where it has a name and is not there yet.")
  var fetch = false

  func location() throws -> ModelLocation { try Self.location(of: model, fetching: fetch) }

  static func location(of model: String, fetching: Bool) throws -> ModelLocation {
    if fetching, let known = ModelStore.known(model) {
      _ = try ModelStore.fetch(known) { Console.note("attend: \($0)") }
    }
    return try ModelStore.find(model)
  }

  /// The encoder at a location.
  static func encoder(_ location: ModelLocation, _ engine: AttentionEngine) throws -> TextEncoder {
    guard case .folder(let folder) = location else {
      throw Failure(.badInput, "expected the folder of an encoder such as minilm, found a GGUF file")
    }
    return try TextEncoder(folder: folder, engine: engine)
  }
}
