import Attention
import Foundation
import TensorFiles

/// Small models of random weights, written as folders: what real ones are made of, in a few kilobytes.
package enum TinyModels {
  /// Seeded random numbers of a tensor, the same whenever its name is.
  package static func numbers(_ name: String, _ shape: [Int], scale: Float = 0.3) -> [Float] {
    var state: UInt64 = name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    return (0..<shape.reduce(1, *)).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (Float(state >> 40) / Float(1 << 24) * 2 - 1) * scale
    }
  }

  // MARK: Encoder

  package static let width = 16
  package static let wide = 24

  /// The words of the tiny encoder, beside its special tokens.
  package static let words = ["the", "cat", "sat", "on", "mat", "dog", "##s", "ran", "it", "was", "tired", "."]

  /// The shapes of the encoder's tensors: 2 layers, 2 heads.
  package static var encoderShapes: [String: [Int]] {
    let tokens = 5 + words.count
    var shapes = [
      "embeddings.word_embeddings.weight": [tokens, width], "embeddings.position_embeddings.weight": [40, width],
      "embeddings.token_type_embeddings.weight": [2, width], "embeddings.LayerNorm.weight": [width],
      "embeddings.LayerNorm.bias": [width],
    ]
    for layer in 0..<2 {
      let name = "encoder.layer.\(layer)"
      for part in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
        shapes["\(name).\(part).weight"] = [width, width]
        shapes["\(name).\(part).bias"] = [width]
      }
      shapes["\(name).intermediate.dense.weight"] = [wide, width]
      shapes["\(name).intermediate.dense.bias"] = [wide]
      shapes["\(name).output.dense.weight"] = [width, wide]
      shapes["\(name).output.dense.bias"] = [width]
      for norm in ["attention.output.LayerNorm", "output.LayerNorm"] {
        shapes["\(name).\(norm).weight"] = [width]
        shapes["\(name).\(norm).bias"] = [width]
      }
    }
    return shapes
  }

  /// Writes an encoder's folder.
  package static func writeEncoder(to folder: String) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try write(
      """
      {"model_type": "bert", "hidden_size": \(width), "num_hidden_layers": 2, "num_attention_heads": 2,
       "intermediate_size": \(wide), "vocab_size": \(5 + words.count), "max_position_embeddings": 40,
       "type_vocab_size": 2, "layer_norm_eps": 0.05, "hidden_act": "gelu"}
      """, to: folder + "/config.json")
    let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + words
    try write(vocabulary.joined(separator: "\n") + "\n", to: folder + "/vocab.txt")
    try writeTensors(encoderShapes, to: folder)
  }

  // MARK: Decoder

  /// A token a byte, and two special ones.
  package static let decoderTokens = 258

  /// The texts of the decoder's tokens. Bytes are written as GPT-2's vocabulary does.
  static var decoderTokenTexts: [String] {
    var next: UInt32 = 0x100
    let bytes = (UInt32(0)..<256).map { byte in
      let isPrinted = (0x21...0x7e).contains(byte) || (0xa1...0xac).contains(byte) || byte >= 0xae
      defer { if !isPrinted { next += 1 } }
      return Unicode.Scalar(isPrinted ? byte : next).map(String.init) ?? ""
    }
    return bytes + ["<|im_start|>", "<|im_end|>"]
  }

  static let chatTemplate = "<|im_start|>system\nBe brief.<|im_end|>\n ..."

  /// The shapes of the decoder's tensors: 2 layers, 4 heads of 8 that share 2 key/value heads.
  package static func decoderShapes(width: Int = width, wide: Int = wide) -> [String: [Int]] {
    var shapes = ["model.embed_tokens.weight": [decoderTokens, width], "model.norm.weight": [width]]
    for layer in 0..<2 {
      let name = "model.layers.\(layer)"
      shapes["\(name).input_layernorm.weight"] = [width]
      shapes["\(name).post_attention_layernorm.weight"] = [width]
      shapes["\(name).self_attn.q_proj.weight"] = [32, width]
      shapes["\(name).self_attn.k_proj.weight"] = [16, width]
      shapes["\(name).self_attn.v_proj.weight"] = [16, width]
      shapes["\(name).self_attn.o_proj.weight"] = [width, 32]
      shapes["\(name).mlp.gate_proj.weight"] = [wide, width]
      shapes["\(name).mlp.up_proj.weight"] = [wide, width]
      shapes["\(name).mlp.down_proj.weight"] = [width, wide]
    }
    return shapes
  }

  /// Writes a decoder's folder. Its chat template is ChatML.
  package static func writeDecoder(to folder: String) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try write(
      """
      {"model_type": "llama", "hidden_size": \(width), "num_hidden_layers": 2, "num_attention_heads": 4,
       "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": \(wide), "vocab_size": \(decoderTokens),
       "max_position_embeddings": 512, "rms_norm_eps": 0.05, "rope_theta": 100, "hidden_act": "silu"}
      """, to: folder + "/config.json")
    let bytes = decoderTokenTexts.prefix(256)
    let vocabulary = Dictionary(uniqueKeysWithValues: zip(bytes, bytes.indices))
    let vocabularyText = String(decoding: try JSONEncoder().encode(vocabulary), as: UTF8.self)
    try write(
      """
      {"model": {"type": "BPE", "vocab": \(vocabularyText), "merges": []},
       "added_tokens": [{"id": 256, "content": "<|im_start|>", "special": true},
                        {"id": 257, "content": "<|im_end|>", "special": true}],
       "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}}
      """, to: folder + "/tokenizer.json")
    let template = String(decoding: try JSONEncoder().encode(chatTemplate), as: UTF8.self)
    try write(
      #"{"chat_template": \#(template), "eos_token": "<|im_end|>"}"#, to: folder + "/tokenizer_config.json")
    try writeTensors(decoderShapes(), to: folder)
  }

  // MARK: Files

  private static func write(_ text: String, to path: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  private static func writeTensors(_ shapes: [String: [Int]], to folder: String) throws {
    let tensors = try shapes.map { name, shape in (name, try Tensor(values(name, shape), shape: shape)) }
    try Safetensors.write(Dictionary(uniqueKeysWithValues: tensors), to: folder + "/model.safetensors")
  }

  /// A tensor's numbers: scales of normalisations are about 1.
  package static func values(_ name: String, _ shape: [Int]) -> [Float] {
    let numbers = numbers(name, shape)
    return name.contains("orm.weight") ? numbers.map { 1 + $0 } : numbers
  }
}
