import Foundation
import TensorFiles

/// The tiny decoder as a GGUF file, wider than the folder's: rows of whole blocks of 32, most of more than one.
extension TinyModels {
  package static var ggufShapes: [String: [Int]] { decoderShapes(width: 64, wide: 96) }

  /// A tensor's numbers, as they are in a file whose matrices are of that type.
  package static func values(_ name: String, _ shape: [Int], in type: GGUFType) -> [Float] {
    shape.count == 1 ? values(name, shape) : type.numbers(of: type.blocks(of: values(name, shape)))
  }

  /// Writes the decoder with its matrices in that type.
  package static func writeDecoder(to path: String, in type: GGUFType) throws {
    var file = GGUFWriter()
    file.add("general.architecture", .string("llama"))
    let sizes = [
      ("embedding_length", 64), ("block_count", 2), ("attention.head_count", 4), ("attention.head_count_kv", 2),
      ("attention.key_length", 8), ("feed_forward_length", 96), ("context_length", 512), ("rope.dimension_count", 8),
    ]
    for (name, size) in sizes { file.add("llama.\(name)", .unsigned(UInt64(size))) }
    file.add("llama.attention.layer_norm_rms_epsilon", .number(0.05))
    file.add("llama.rope.freq_base", .number(100))
    file.add("tokenizer.ggml.model", .string("gpt2"))
    file.add("tokenizer.ggml.pre", .string("gpt-2"))
    file.add("tokenizer.ggml.tokens", .strings(decoderTokenTexts))
    // Normal tokens and, last, control tokens.
    file.add("tokenizer.ggml.token_type", .integers([Int64](repeating: 1, count: 256) + [3, 3]))
    file.add("tokenizer.ggml.eos_token_id", .unsigned(257))
    file.add("tokenizer.chat_template", .string(chatTemplate))
    for (name, shape) in ggufShapes.sorted(by: { $0.key < $1.key }) {
      var numbers = values(name, shape)
      if name.contains("q_proj") || name.contains("k_proj") { numbers = inPairs(numbers, width: 64, head: 8) }
      let stored = shape.count == 1 ? .f32 : type
      file.add(ggufName(name), shape: shape, type: stored, blocks: stored.blocks(of: numbers))
    }
    try file.write(to: path)
  }

  /// Rows that are turned together are neighbours in GGUF, half a head apart in a folder.
  private static func inPairs(_ numbers: [Float], width: Int, head: Int) -> [Float] {
    (0..<numbers.count / width).flatMap { row in
      let from = row / head * head + row % head / 2 + row % 2 * (head / 2)
      return numbers[from * width..<(from + 1) * width]
    }
  }

  private static func ggufName(_ name: String) -> String {
    [
      ("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("model.layers", "blk"),
      ("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm"), ("self_attn.q_proj", "attn_q"),
      ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"),
      ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"),
    ].reduce(name) { $0.replacingOccurrences(of: $1.0, with: $1.1) }
  }
}
