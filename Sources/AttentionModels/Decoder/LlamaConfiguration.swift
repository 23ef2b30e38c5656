import Attention
import TensorFiles

/// The numbers of a Llama-style decoder.
struct LlamaConfiguration: Sendable {
  var hiddenSize: Int
  var layers: Int
  var heads: Int
  var keyValueHeads: Int
  var headDimension: Int
  var intermediateSize: Int
  var vocabularySize: Int
  /// The longest context that it was trained on.
  var positions: Int
  var epsilon: Float
  var rotary: RotaryEmbedding

  /// - Throws: ``ModelError`` where a number makes no model.
  func checked(_ path: String) throws -> LlamaConfiguration {
    func require(_ isTrue: Bool, _ name: String, _ found: Any, _ expected: String) throws {
      guard isTrue else { throw ModelError(path, found: "\(name) \(found)", expected: expected) }
    }
    let sizes = [
      ("a width of", hiddenSize), ("layers", layers), ("heads", heads), ("key/value heads", keyValueHeads),
      ("a head dimension of", headDimension), ("a feed-forward width of", intermediateSize),
      ("a vocabulary of", vocabularySize), ("positions", positions),
    ]
    for (name, size) in sizes { try require((1...1 << 24).contains(size), name, size, "1 to \(1 << 24)") }
    try require(heads % keyValueHeads == 0, "key/value heads", keyValueHeads, "a divisor of the \(heads) heads")
    try require(epsilon >= 0 && epsilon.isFinite, "epsilon", epsilon, "a number not below 0")
    try require(
      rotary.dimensions > 0 && rotary.dimensions % 2 == 0 && rotary.dimensions <= headDimension, "rotary dimensions",
      rotary.dimensions, "an even number up to the head's \(headDimension)")
    try require(rotary.base.isFinite && rotary.base > 1, "rotary base", rotary.base, "a number above 1")
    return self
  }

  /// From the metadata of a GGUF file, whose rows of queries and keys are in the order of pairs.
  init(_ file: GGUF) throws {
    let architecture = file.metadata["general.architecture"]?.asString
    guard architecture == "llama" else {
      throw ModelError(file.path, found: "a model of architecture \(architecture ?? "none")", expected: "llama")
    }
    func integer(_ name: String, or standard: Int? = nil) throws -> Int {
      guard let value = file.metadata["llama.\(name)"] else {
        if let standard { return standard }
        throw ModelError(file.path, found: "no llama.\(name)", expected: "a number")
      }
      guard let number = value.asInteger else {
        throw ModelError(file.path, found: "llama.\(name) \(value)", expected: "an integer")
      }
      return number
    }
    func number(_ name: String, or standard: Double) -> Double { file.metadata["llama.\(name)"]?.asDouble ?? standard }
    if let scaling = file.metadata["llama.rope.scaling.type"]?.asString, scaling != "none" {
      throw ModelError(file.path, found: "rotary scaling '\(scaling)'", expected: "none")
    }
    hiddenSize = try integer("embedding_length")
    layers = try integer("block_count")
    heads = try integer("attention.head_count")
    keyValueHeads = try integer("attention.head_count_kv", or: heads)
    headDimension = try integer("attention.key_length", or: hiddenSize / max(1, heads))
    intermediateSize = try integer("feed_forward_length")
    vocabularySize = file["token_embd.weight"]?.shape.first ?? 0
    positions = try integer("context_length")
    epsilon = Float(number("attention.layer_norm_rms_epsilon", or: 1e-5))
    rotary = RotaryEmbedding(
      dimensions: try integer("rope.dimension_count", or: headDimension), base: number("rope.freq_base", or: 10_000),
      style: .interleaved)
    self = try checked(file.path)
  }

  /// From a `config.json`, whose rows of queries and keys are in the order of halves.
  init(folder: String) throws {
    let path = folder + "/config.json"
    let file = try ModelJSON.read(Description.self, path)
    guard file.modelType == "llama" else {
      throw ModelError(path, found: "a model of type \(file.modelType ?? "none")", expected: "llama")
    }
    guard file.ropeScaling == nil else { throw ModelError(path, found: "rope_scaling", expected: "none") }
    guard file.activation ?? "silu" == "silu" else {
      throw ModelError(path, found: "hidden_act \(file.activation ?? "")", expected: "silu")
    }
    hiddenSize = file.hiddenSize
    layers = file.layers
    heads = file.heads
    keyValueHeads = file.keyValueHeads ?? file.heads
    headDimension = file.headDimension ?? file.hiddenSize / max(1, file.heads)
    intermediateSize = file.intermediateSize
    vocabularySize = file.vocabularySize
    positions = file.positions ?? 2048
    epsilon = file.epsilon ?? 1e-6
    rotary = RotaryEmbedding(dimensions: headDimension, base: file.ropeBase ?? 10_000, style: .halfRotated)
    self = try checked(path)
  }

  private struct Description: Decodable {
    /// A setting that this package only needs to see the presence of.
    struct Anything: Decodable {
      init(from decoder: any Decoder) throws {}
    }

    var modelType: String?
    var hiddenSize: Int
    var layers: Int
    var heads: Int
    var keyValueHeads: Int?
    var headDimension: Int?
    var intermediateSize: Int
    var vocabularySize: Int
    var positions: Int?
    var epsilon: Float?
    var ropeBase: Double?
    var ropeScaling: Anything?
    var activation: String?

    enum CodingKeys: String, CodingKey {
      case modelType = "model_type"
      case hiddenSize = "hidden_size"
      case layers = "num_hidden_layers"
      case heads = "num_attention_heads"
      case keyValueHeads = "num_key_value_heads"
      case headDimension = "head_dim"
      case intermediateSize = "intermediate_size"
      case vocabularySize = "vocab_size"
      case positions = "max_position_embeddings"
      case epsilon = "rms_norm_eps"
      case ropeBase = "rope_theta"
      case ropeScaling = "rope_scaling"
      case activation = "hidden_act"
    }
  }
}

/// What a decoder's tensors are called.
struct LlamaNames: Sendable {
  let embedding, outputNorm, output: String
  let layer: @Sendable (Int, Part) -> String

  enum Part: CaseIterable {
    case attentionNorm, query, key, value, output, feedForwardNorm, gate, up, down
  }

  static let gguf = LlamaNames(
    embedding: "token_embd.weight", outputNorm: "output_norm.weight", output: "output.weight",
    layer: { layer, part in
      let name =
        switch part {
        case .attentionNorm: "attn_norm"
        case .query: "attn_q"
        case .key: "attn_k"
        case .value: "attn_v"
        case .output: "attn_output"
        case .feedForwardNorm: "ffn_norm"
        case .gate: "ffn_gate"
        case .up: "ffn_up"
        case .down: "ffn_down"
        }
      return "blk.\(layer).\(name).weight"
    })

  static let folder = LlamaNames(
    embedding: "model.embed_tokens.weight", outputNorm: "model.norm.weight", output: "lm_head.weight",
    layer: { layer, part in
      let name =
        switch part {
        case .attentionNorm: "input_layernorm"
        case .query: "self_attn.q_proj"
        case .key: "self_attn.k_proj"
        case .value: "self_attn.v_proj"
        case .output: "self_attn.o_proj"
        case .feedForwardNorm: "post_attention_layernorm"
        case .gate: "mlp.gate_proj"
        case .up: "mlp.up_proj"
        case .down: "mlp.down_proj"
        }
      return "model.layers.\(layer).\(name).weight"
    })
}
