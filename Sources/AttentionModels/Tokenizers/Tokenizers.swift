import Foundation
import TensorFiles

/// Finds the tokenizer of a model.
public enum Tokenizers {
  /// The tokenizer of a folder: of its `tokenizer.json`, otherwise of its `vocab.txt` (WordPiece, a token a line).
  ///
  /// - Throws: ``TokenizerError``.
  public static func load(folder: String) throws -> any Tokenizer {
    let json = folder + "/tokenizer.json"
    if FileManager.default.fileExists(atPath: json) { return try TokenizerJSON.tokenizer(path: json) }
    let list = folder + "/vocab.txt"
    guard let data = FileManager.default.contents(atPath: list) else {
      throw TokenizerError(file: folder, found: "neither", expected: "a tokenizer.json or a vocab.txt")
    }
    var lines = String(decoding: data, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    if lines.last == "" { lines.removeLast() }
    let tokens = lines.map { $0.hasSuffix("\r") ? String($0.dropLast()) : String($0) }
    return try WordPiece(tokens: tokens, lowercases: lowercases(folder), file: list)
  }

  /// Whether `tokenizer_config.json` leaves letters as they are: then it says `"do_lower_case": false`.
  private static func lowercases(_ folder: String) -> Bool {
    struct Configuration: Decodable {
      var lowercases: Bool?
      enum CodingKeys: String, CodingKey { case lowercases = "do_lower_case" }
    }
    let data = FileManager.default.contents(atPath: folder + "/tokenizer_config.json") ?? Data()
    return (try? JSONDecoder().decode(Configuration.self, from: data))?.lowercases ?? true
  }

  /// The tokenizer that a GGUF file carries.
  ///
  /// - Throws: ``TokenizerError`` where there is none, or one of another kind than byte-level BPE.
  public static func load(_ file: GGUF) throws -> any Tokenizer {
    func error(_ found: String, _ expected: String) -> TokenizerError {
      TokenizerError(file: file.path, found: found, expected: expected)
    }
    let kind = file.metadata["tokenizer.ggml.model"]?.asString
    guard kind == "gpt2" else {
      throw error("a tokenizer of kind \(kind ?? "none")", "'gpt2', byte-level BPE (tokenizer.ggml.model)")
    }
    guard let tokens = file.metadata["tokenizer.ggml.tokens"]?.asStrings else {
      throw error("no tokenizer.ggml.tokens", "a list of tokens")
    }
    let merges = try (file.metadata["tokenizer.ggml.merges"]?.asStrings ?? []).map { merge in
      let parts = merge.split(separator: " ", omittingEmptySubsequences: false)
      guard parts.count == 2 else { throw error("the merge '\(merge)'", "two tokens and a blank between them") }
      return (left: String(parts[0]), right: String(parts[1]))
    }
    var description = BytePairEncoding.Description(tokens: tokens, merges: merges)
    // Types 3 and 4 of the format: control tokens, and tokens that a user added.
    let types = file.metadata["tokenizer.ggml.token_type"]?.asIntegers ?? []
    description.added = zip(tokens.indices, types).filter { $1 == 3 || $1 == 4 }.map { id, type in
      var token = AddedToken(id: id, text: tokens[id])
      token.isSpecial = type == 3
      return token
    }
    switch file.metadata["tokenizer.ggml.pre"]?.asString {
    case "smollm", "starcoder", "refact", "command-r", "codeshell": description.splitsDigits = true
    case "gpt-2", "default", "phi-2", "olmo", nil: break
    case "llama3", "llama-bpe", "llama-v3":
      description.splitter = .llama3(digits: 3)
      description.ignoresMerges = true
    case "qwen2": description.splitter = .llama3(digits: 1)
    case let other?:
      throw error("the pre-tokenizer '\(other)'", "one of smollm, gpt-2, llama-bpe, qwen2 and their like")
    }
    description.addsPrefixSpace = file.metadata["tokenizer.ggml.add_space_prefix"]?.asBool ?? false
    if file.metadata["tokenizer.ggml.add_bos_token"]?.asBool == true,
      let first = file.metadata["tokenizer.ggml.bos_token_id"]?.asInteger
    {
      guard tokens.indices.contains(first) else { throw error("bos_token_id \(first)", "a token") }
      description.prefix = [first]
    }
    return try BytePairEncoding(description, file: file.path)
  }
}
