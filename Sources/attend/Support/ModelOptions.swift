import ArgumentParser
import Attention
import AttentionModels

/// `--model` of any kind, and `--fetch`.
struct ModelOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The model: \(ModelStore.known.map(\.name).joined(separator: ", ")), or the path of a folder or a GGUF file.",
      valueName: "name|path"))
  var model: String

  @Flag(help: ModelLocation.fetchHelp)
  var fetch = false

  func location() throws -> ModelLocation { try ModelLocation.of(model, fetching: fetch) }
}

/// `--model` of an encoder, which is minilm where nothing is said, and `--fetch`.
struct EncoderOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The encoder: \(ModelStore.names(of: .encoder)), or the path of a folder.", valueName: "name|path"))
  var model = "minilm"

  @Flag(help: ModelLocation.fetchHelp)
  var fetch = false

  func location() throws -> ModelLocation { try ModelLocation.of(model, .encoder, fetching: fetch) }
}

/// `--model` of a language model, and `--fetch`.
struct DecoderOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The language model: \(ModelStore.names(of: .decoder)), or the path of a folder or a GGUF file.",
      valueName: "name|path"))
  var model: String

  @Flag(help: ModelLocation.fetchHelp)
  var fetch = false

  func location() throws -> ModelLocation { try ModelLocation.of(model, .decoder, fetching: fetch) }
}

extension ModelStore {
  /// The names of the models of a kind.
  static func names(of kind: Kind) -> String { known.filter { $0.kind == kind }.map(\.name).joined(separator: ", ") }
}

extension ModelLocation {
  fileprivate static let fetchHelp: ArgumentHelp = "Fetch the model where it has a name and is not there yet."

  /// Where the model is that a user means.
  ///
  /// - Parameter kind: Of what kind it must be. A model that has a name is refused before it is fetched.
  static func of(_ model: String, _ kind: ModelStore.Kind? = nil, fetching: Bool) throws -> ModelLocation {
    if let known = ModelStore.known(model) {
      if let kind, kind != known.kind {
        throw Failure(
          .badInput,
          "model '\(model)': expected \(kind.rawValue), such as \(ModelStore.names(of: kind)), found \(known.kind.rawValue)"
        )
      }
      if fetching { _ = try ModelStore.fetch(known) { Console.note("attend: \($0)") } }
    }
    return try ModelStore.find(model)
  }

  /// The encoder that is there.
  func encoder(_ engine: AttentionEngine) throws -> TextEncoder {
    guard case .folder(let folder) = self else {
      throw Failure(.badInput, "expected the folder of an encoder such as minilm, found a GGUF file")
    }
    return try TextEncoder(folder: folder, engine: engine)
  }
}
