import Foundation

/// The `config.json` of a BERT.
struct BertConfiguration: Decodable {
  var modelType: String?
  var hiddenSize: Int
  var layers: Int
  var heads: Int
  var intermediateSize: Int
  var vocabularySize: Int
  var positions: Int
  var types: Int
  var epsilon: Float
  var activation: String
  var positionType: String?

  enum CodingKeys: String, CodingKey {
    case modelType = "model_type"
    case hiddenSize = "hidden_size"
    case layers = "num_hidden_layers"
    case heads = "num_attention_heads"
    case intermediateSize = "intermediate_size"
    case vocabularySize = "vocab_size"
    case positions = "max_position_embeddings"
    case types = "type_vocab_size"
    case epsilon = "layer_norm_eps"
    case activation = "hidden_act"
    case positionType = "position_embedding_type"
  }

  /// - Throws: ``ModelError`` where a number makes no model, or the model is of another kind.
  func checked(_ path: String) throws -> BertConfiguration {
    func require(_ isTrue: Bool, _ name: String, _ found: Any, _ expected: String) throws {
      guard isTrue else { throw ModelError(path, found: "\(name) \(found)", expected: expected) }
    }
    let sizes = [
      ("hidden_size", hiddenSize), ("num_hidden_layers", layers), ("num_attention_heads", heads),
      ("intermediate_size", intermediateSize), ("vocab_size", vocabularySize), ("max_position_embeddings", positions),
      ("type_vocab_size", types),
    ]
    for (name, size) in sizes { try require((1...1 << 24).contains(size), name, size, "1 to \(1 << 24)") }
    try require(hiddenSize % heads == 0, "num_attention_heads", heads, "a divisor of hidden_size \(hiddenSize)")
    try require(epsilon >= 0 && epsilon.isFinite, "layer_norm_eps", epsilon, "a number not below 0")
    try require(
      positionType ?? "absolute" == "absolute", "position_embedding_type", positionType ?? "", "absolute positions")
    try require(activationFunction != nil, "hidden_act", activation, "gelu, gelu_new or gelu_pytorch_tanh")
    return self
  }

  var activationFunction: Activation? {
    switch activation {
    case "gelu": .gelu
    case "gelu_new", "gelu_pytorch_tanh": .geluTanh
    default: nil
    }
  }
}

/// Reads JSON files of a model's folder.
enum ModelJSON {
  /// - Throws: ``ModelError`` where there is none, or it does not parse as a `Value`.
  static func read<Value: Decodable>(_ type: Value.Type, _ path: String) throws -> Value {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw ModelError(path, found: "none", expected: "a file that can be read")
    }
    do {
      return try JSONDecoder().decode(type, from: data)
    } catch DecodingError.keyNotFound(let key, _) {
      throw ModelError(path, found: "no '\(key.stringValue)'", expected: "one")
    } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
      let key = context.codingPath.map(\.stringValue).joined(separator: ".")
      throw ModelError(path, found: "'\(key)' of another type", expected: "what the format says")
    } catch {
      throw ModelError(path, found: "text that does not parse", expected: "a JSON object")
    }
  }
}
