/// BERT's tokenizer: words, and of a word that the vocabulary does not have, the longest pieces from the left that it does.
///
/// `unaffable` becomes `una` `##ffa` `##ble`; a word of more than 100 characters, or one with a piece that is not in the
/// vocabulary, becomes `[UNK]`. See Devlin et al. 2018 and Schuster and Nakajima 2012.
public struct WordPiece: Tokenizer {
  private let vocabulary: [String: Int]
  private let tokens: [String]
  private let added: AddedTokens
  private let specialIDs: Set<Int>
  let normalization: BertNormalization
  private let unknown: Int
  private let continuation: String
  private let longestWord: Int
  private let prefix: [Int]
  private let suffix: [Int]

  /// - Parameters:
  ///   - tokens: The vocabulary, by number.
  ///   - file: What errors name.
  /// - Throws: ``TokenizerError`` where the vocabulary lacks a special token.
  public init(tokens: [String], lowercases: Bool = true, file: String) throws {
    var normalization = BertNormalization()
    normalization.lowercases = lowercases
    normalization.stripsAccents = lowercases
    try self.init(tokens: tokens, normalization: normalization, file: file)
  }

  init(
    tokens: [String], normalization: BertNormalization, unknown: String = "[UNK]", continuation: String = "##",
    longestWord: Int = 100, prefix: [String] = ["[CLS]"], suffix: [String] = ["[SEP]"], added: [AddedToken]? = nil,
    file: String
  ) throws {
    let vocabulary = Dictionary(zip(tokens, tokens.indices), uniquingKeysWith: { first, _ in first })
    func id(_ token: String) throws -> Int {
      guard let id = vocabulary[token] else {
        throw TokenizerError(file: file, found: "no '\(token)'", expected: "a vocabulary that has it")
      }
      return id
    }
    let added =
      added
      ?? ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].compactMap { text in
        vocabulary[text].map { AddedToken(id: $0, text: text) }
      }
    self.vocabulary = vocabulary
    self.tokens = tokens
    self.added = AddedTokens(added)
    self.normalization = normalization
    self.unknown = try id(unknown)
    self.continuation = continuation
    self.longestWord = longestWord
    self.prefix = try prefix.map(id)
    self.suffix = try suffix.map(id)
    specialIDs = Set(added.filter(\.isSpecial).map(\.id))
  }

  public var vocabularySize: Int { tokens.count }

  public func token(_ id: Int) -> String? { tokens.indices.contains(id) ? tokens[id] : nil }

  public func id(of token: String) -> Int? { vocabulary[token] }

  public func encode(_ text: String) -> TokenizedText {
    var result = TokenizedText()
    for id in prefix { result.append(id, 0..<0) }
    let bytes = Array(text.utf8)
    for piece in added.split(bytes) {
      switch piece {
      case .token(let id, let range): result.append(id, range)
      case .text(let range):
        let part = String(decoding: bytes[range], as: UTF8.self)
        for word in Self.words(normalization.normalize(part, at: range.lowerBound)) { cut(word, into: &result) }
      }
    }
    for id in suffix { result.append(id, 0..<0) }
    return result
  }

  public func decode(_ ids: [Int], skippingSpecial: Bool) -> String {
    var text = ""
    for id in ids where !(skippingSpecial && specialIDs.contains(id)) {
      guard let token = token(id) else { continue }
      if token.hasPrefix(continuation) {
        text += token.dropFirst(continuation.count)
      } else {
        text += text.isEmpty ? token : " " + token
      }
    }
    return text
  }

  /// Words: what stands between blanks, every punctuation character one of its own.
  private static func words(_ text: [BertNormalization.Mapped]) -> [ArraySlice<BertNormalization.Mapped>] {
    var words: [ArraySlice<BertNormalization.Mapped>] = []
    var start = 0
    for (index, mapped) in text.enumerated() {
      let isSpace = mapped.scalar.isBertSpace
      guard isSpace || mapped.scalar.isBertPunctuation else { continue }
      if start < index { words.append(text[start..<index]) }
      if !isSpace { words.append(text[index...index]) }
      start = index + 1
    }
    if start < text.count { words.append(text[start...]) }
    return words
  }

  private func cut(_ word: ArraySlice<BertNormalization.Mapped>, into result: inout TokenizedText) {
    let whole = word[word.startIndex].range.lowerBound..<word[word.endIndex - 1].range.upperBound
    guard word.count <= longestWord else { return result.append(unknown, whole) }
    var pieces: [(id: Int, range: Range<Int>)] = []
    var start = word.startIndex
    while start < word.endIndex {
      var end = word.endIndex
      var found: Int?
      while end > start {
        var piece = start == word.startIndex ? "" : continuation
        for mapped in word[start..<end] { piece.unicodeScalars.append(mapped.scalar) }
        found = vocabulary[piece]
        if found != nil { break }
        end -= 1
      }
      guard let found else { return result.append(unknown, whole) }
      pieces.append((found, word[start].range.lowerBound..<word[end - 1].range.upperBound))
      start = end
    }
    for piece in pieces { result.append(piece.id, piece.range) }
  }
}
