import Foundation

/// A `tokenizer.json`, as the `tokenizers` library writes it: what of it this package understands.
package struct TokenizerJSON: Decodable {
  struct Token: Decodable {
    var id: Int
    var content: String
    var special: Bool?
    var singleWord: Bool?
    var lstrip: Bool?
    var rstrip: Bool?

    enum CodingKeys: String, CodingKey {
      case id, content, special, lstrip, rstrip
      case singleWord = "single_word"
    }
  }

  struct Model: Decodable {
    var type: String?
    var vocab: [String: Int]
    var merges: [Merge]?
    var unkToken: String?
    var continuingSubwordPrefix: String?
    var maxInputCharsPerWord: Int?
    var ignoreMerges: Bool?

    enum CodingKeys: String, CodingKey {
      case type, vocab, merges
      case unkToken = "unk_token"
      case continuingSubwordPrefix = "continuing_subword_prefix"
      case maxInputCharsPerWord = "max_input_chars_per_word"
      case ignoreMerges = "ignore_merges"
    }
  }

  /// A merge: `"a b"` in older files, `["a", "b"]` in newer ones.
  struct Merge: Decodable {
    var left, right: String

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      let parts =
        try (try? container.decode(String.self)).map { $0.split(separator: " ").map(String.init) }
        ?? container.decode([String].self)
      guard parts.count == 2 else {
        throw DecodingError.dataCorruptedError(in: container, debugDescription: "a merge of \(parts.count) parts")
      }
      (left, right) = (parts[0], parts[1])
    }
  }

  /// A normaliser, pre-tokenizer or post-processor: a type and its options, or a sequence of such.
  struct Step: Decodable {
    var type: String
    var steps: [Step]
    var cleanText: Bool?
    var handleChineseChars: Bool?
    var stripAccents: Bool?
    var lowercase: Bool?
    var individualDigits: Bool?
    var addPrefixSpace: Bool?
    var useRegex: Bool?
    var behavior: String?
    var pattern: [String: String]?
    /// What a template puts around a single text: the names of special tokens, `nil` where the text stands.
    var single: [String?]?

    private enum CodingKeys: String, CodingKey {
      case type, lowercase, behavior, pattern, single
      case normalizers, pretokenizers, processors
      case cleanText = "clean_text"
      case handleChineseChars = "handle_chinese_chars"
      case stripAccents = "strip_accents"
      case individualDigits = "individual_digits"
      case addPrefixSpace = "add_prefix_space"
      case useRegex = "use_regex"
    }

    private struct TemplatePart: Decodable {
      struct Special: Decodable { var id: String }
      var special: Special?
      enum CodingKeys: String, CodingKey { case special = "SpecialToken" }
    }

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      type = try container.decode(String.self, forKey: .type)
      let lists = try [.normalizers, .pretokenizers, .processors].map {
        try container.decodeIfPresent([Step].self, forKey: $0)
      }
      steps = lists.compactMap { $0 }.first ?? []
      cleanText = try container.decodeIfPresent(Bool.self, forKey: .cleanText)
      handleChineseChars = try container.decodeIfPresent(Bool.self, forKey: .handleChineseChars)
      stripAccents = try container.decodeIfPresent(Bool.self, forKey: .stripAccents)
      lowercase = try container.decodeIfPresent(Bool.self, forKey: .lowercase)
      individualDigits = try container.decodeIfPresent(Bool.self, forKey: .individualDigits)
      addPrefixSpace = try container.decodeIfPresent(Bool.self, forKey: .addPrefixSpace)
      useRegex = try container.decodeIfPresent(Bool.self, forKey: .useRegex)
      behavior = try container.decodeIfPresent(String.self, forKey: .behavior)
      pattern = try? container.decodeIfPresent([String: String].self, forKey: .pattern)
      single = try? container.decodeIfPresent([TemplatePart].self, forKey: .single)?.map { $0.special?.id }
    }

    /// The steps that it comes to, sequences opened.
    var flattened: [Step] { type == "Sequence" ? steps.flatMap(\.flattened) : [self] }
  }

  var model: Model
  var addedTokens: [Token]?
  var normalizer: Step?
  var preTokenizer: Step?
  var postProcessor: Step?

  enum CodingKeys: String, CodingKey {
    case model, normalizer
    case addedTokens = "added_tokens"
    case preTokenizer = "pre_tokenizer"
    case postProcessor = "post_processor"
  }
}

extension TokenizerJSON {
  /// Reads a file and makes the tokenizer that it describes.
  ///
  /// - Throws: ``TokenizerError`` for a file that does not parse, and for a step that this package does not know: a
  ///   tokenizer that is nearly right gives wrong models without a word.
  static func tokenizer(path: String) throws -> any Tokenizer {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw TokenizerError(file: path, found: "none", expected: "a tokenizer.json")
    }
    let description: TokenizerJSON
    do {
      description = try JSONDecoder().decode(TokenizerJSON.self, from: data)
    } catch {
      throw TokenizerError(
        file: path, found: "text that does not parse as one (\(Self.reason(error)))", expected: "a tokenizer.json")
    }
    return try description.tokenizer(path: path)
  }

  /// The tokenizer that this describes; errors name the file that it came from.
  package func tokenizer(path: String) throws -> any Tokenizer {
    switch model.type {
    case "WordPiece": try wordPiece(path)
    case "BPE": try bytePairEncoding(path)
    default:
      throw TokenizerError(file: path, found: "a model of type \(model.type ?? "none")", expected: "WordPiece or BPE")
    }
  }

  private static func reason(_ error: any Error) -> String {
    guard let error = error as? DecodingError else { return "\(error)" }
    switch error {
    case .keyNotFound(let key, _): return "no '\(key.stringValue)'"
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
      let place = context.codingPath.prefix(3).map(\.stringValue).joined(separator: ".")
      return place.isEmpty ? "not JSON" : "at \(place)"
    @unknown default: return "not JSON"
    }
  }

  private var added: [AddedToken] {
    (addedTokens ?? []).map { token in
      var added = AddedToken(id: token.id, text: token.content)
      added.isSpecial = token.special ?? false
      added.stripsLeft = token.lstrip ?? false
      added.stripsRight = token.rstrip ?? false
      added.isWholeWord = token.singleWord ?? false
      return added
    }
  }

  /// The vocabulary by number.
  private func tokens(_ path: String) throws -> [String] {
    let numbers = 0..<min(1 << 22, 4 * model.vocab.count + 1024)
    let own = model.vocab.values
    for id in [own.min(), own.max(), added.map(\.id).min(), added.map(\.id).max()].compactMap({ $0 })
    where !numbers.contains(id) {
      throw TokenizerError(
        file: path, found: "the token number \(id), of \(own.count + added.count) tokens",
        expected: "numbers from 0 to \(numbers.upperBound - 1)")
    }
    var tokens = Array(repeating: "", count: (own.max() ?? -1) + 1)
    for (token, id) in model.vocab { tokens[id] = token }
    return tokens
  }

  private func unknown(_ what: String, _ step: Step, _ path: String) -> TokenizerError {
    TokenizerError(file: path, found: "the \(what) \(step.type)", expected: "one that this package knows")
  }

  private func wordPiece(_ path: String) throws -> WordPiece {
    var normalization = BertNormalization(
      cleansText: false, isolatesChinese: false, stripsAccents: false, lowercases: false)
    for step in normalizer?.flattened ?? [] {
      guard step.type == "BertNormalizer" else { throw unknown("normalizer", step, path) }
      normalization.cleansText = step.cleanText ?? true
      normalization.isolatesChinese = step.handleChineseChars ?? true
      normalization.lowercases = step.lowercase ?? true
      normalization.stripsAccents = step.stripAccents ?? normalization.lowercases
    }
    for step in preTokenizer?.flattened ?? [] where step.type != "BertPreTokenizer" {
      throw unknown("pre-tokenizer", step, path)
    }
    var (prefix, suffix): ([String], [String]) = ([], [])
    for step in postProcessor?.flattened ?? [] {
      guard step.type == "TemplateProcessing", let single = step.single, let text = single.firstIndex(of: nil) else {
        throw unknown("post-processor", step, path)
      }
      prefix = single[..<text].compactMap { $0 }
      suffix = single[(text + 1)...].compactMap { $0 }
    }
    return try WordPiece(
      tokens: tokens(path), normalization: normalization, unknown: model.unkToken ?? "[UNK]",
      continuation: model.continuingSubwordPrefix ?? "##", longestWord: model.maxInputCharsPerWord ?? 100,
      prefix: prefix, suffix: suffix, added: added, file: path)
  }

  private func bytePairEncoding(_ path: String) throws -> BytePairEncoding {
    for step in normalizer?.flattened ?? [] { throw unknown("normalizer", step, path) }
    var description = BytePairEncoding.Description(
      tokens: try tokens(path), merges: (model.merges ?? []).map { ($0.left, $0.right) }, added: added)
    description.ignoresMerges = model.ignoreMerges ?? false
    var isByteLevel = false
    for step in preTokenizer?.flattened ?? [] {
      switch step.type {
      case "Digits" where step.individualDigits == true: description.splitsDigits = true
      case "ByteLevel":
        isByteLevel = true
        description.addsPrefixSpace = step.addPrefixSpace ?? true
      case "Split":
        guard let splitter = step.pattern?["Regex"].flatMap(WordSplitter.init(regularExpression:)) else {
          throw unknown("pre-tokenizer with another regular expression,", step, path)
        }
        description.splitter = splitter
      default: throw unknown("pre-tokenizer", step, path)
      }
    }
    guard isByteLevel else {
      throw TokenizerError(file: path, found: "a BPE of characters", expected: "a byte-level BPE")
    }
    for step in postProcessor?.flattened ?? [] {
      if step.type == "ByteLevel" { continue }
      guard step.type == "TemplateProcessing", let single = step.single, let text = single.firstIndex(of: nil) else {
        throw unknown("post-processor", step, path)
      }
      description.prefix = try single[..<text].compactMap { $0 }.map { name in
        guard let id = added.first(where: { $0.text == name })?.id else {
          throw TokenizerError(file: path, found: "no token '\(name)'", expected: "the tokens of its template")
        }
        return id
      }
    }
    return try BytePairEncoding(description, file: path)
  }
}

extension WordSplitter {
  /// The splitter that a published regular expression stands for; `nil` for another one.
  init?(regularExpression: String) {
    let contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    for digits in [1, 3] {
      let numbers = digits == 1 ? "\\p{N}" : "\\p{N}{1,3}"
      let expression =
        contraction
        + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\(numbers)| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
      if regularExpression == expression {
        self = .llama3(digits: digits)
        return
      }
    }
    guard
      regularExpression == "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
    else { return nil }
    self = .gpt2
  }
}
