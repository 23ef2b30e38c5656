/// Byte-level BPE, the tokenizer of GPT-2 and its descendants: the bytes of a word are joined pair by pair, the pair that
/// was learnt first before the others. Every text has tokens, and they give it back byte for byte.
///
/// See Sennrich et al. 2016 and Radford et al. 2019.
public struct BytePairEncoding: Tokenizer {
  /// Everything that tells one such tokenizer from another.
  struct Description: Sendable {
    var tokens: [String]
    var merges: [(left: String, right: String)]
    var added: [AddedToken] = []
    /// Whether every digit is a word of its own.
    var splitsDigits = false
    var splitter = WordSplitter.gpt2
    /// Whether the text gets a blank in front where it has none.
    var addsPrefixSpace = false
    /// Whether a word that is a token as a whole is not put together from pairs.
    var ignoresMerges = false
    /// Tokens before the text's own.
    var prefix: [Int] = []
  }

  private struct Pair: Hashable {
    let left, right: Int32
  }

  private struct Merge {
    let rank, id: Int32
  }

  private let tokens: [String]
  private let vocabulary: [String: Int]
  private let merges: [Pair: Merge]
  private let byteIDs: [Int32?]
  private let added: AddedTokens
  private let addedByID: [Int: AddedToken]
  private let description: Description

  /// - Throws: ``TokenizerError`` where a pair, or what it makes, is not in the vocabulary.
  init(_ description: Description, file: String) throws {
    var description = description
    tokens = description.tokens
    var vocabulary: [String: Int] = Dictionary(minimumCapacity: tokens.count)
    for (id, token) in tokens.enumerated() where vocabulary[token] == nil { vocabulary[token] = id }
    for token in description.added { vocabulary[token.text] = token.id }
    var merges: [Pair: Merge] = Dictionary(minimumCapacity: description.merges.count)
    for (rank, pair) in description.merges.enumerated() {
      guard let left = vocabulary[pair.left], let right = vocabulary[pair.right],
        let id = vocabulary[pair.left + pair.right]
      else {
        throw TokenizerError(
          file: file, found: "the merge '\(pair.left) \(pair.right)'", expected: "merges of tokens of the vocabulary")
      }
      let key = Pair(left: Int32(left), right: Int32(right))
      if merges[key] == nil { merges[key] = Merge(rank: Int32(rank), id: Int32(id)) }
    }
    self.vocabulary = vocabulary
    self.merges = merges
    byteIDs = ByteAlphabet.scalars.map { vocabulary[String($0)].map(Int32.init) }
    added = AddedTokens(description.added)
    addedByID = Dictionary(description.added.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    description.merges = []
    description.tokens = []
    self.description = description
  }

  public var vocabularySize: Int { max(tokens.count, (addedByID.keys.max() ?? -1) + 1) }

  public func token(_ id: Int) -> String? {
    addedByID[id]?.text ?? (tokens.indices.contains(id) ? tokens[id] : nil)
  }

  public func id(of token: String) -> Int? { vocabulary[token] }

  public func encode(_ text: String) -> TokenizedText {
    var result = TokenizedText()
    for id in description.prefix { result.append(id, 0..<0) }
    let bytes = Array(text.utf8)
    for piece in added.split(bytes) {
      switch piece {
      case .token(let id, let range): result.append(id, range)
      case .text(let range):
        var scalars = Array(String(decoding: bytes[range], as: UTF8.self).unicodeScalars)
        var start = range.lowerBound
        if description.addsPrefixSpace, scalars.first?.properties.isWhitespace == false {
          scalars.insert(" ", at: 0)
          start -= 1
        }
        for word in words(scalars) {
          let text = word.reduce(into: [UInt8]()) { $0 += String(scalars[$1]).utf8 }
          join(text, at: start, within: range, into: &result)
          start += text.count
        }
      }
    }
    return result
  }

  public func decode(_ ids: [Int], skippingSpecial: Bool) -> String {
    String(decoding: ids.flatMap { bytes(of: $0, skippingSpecial: skippingSpecial) }, as: UTF8.self)
  }

  /// The bytes that a token stands for: perhaps only a part of a character.
  func bytes(of id: Int, skippingSpecial: Bool) -> [UInt8] {
    if let token = addedByID[id] { return skippingSpecial && token.isSpecial ? [] : Array(token.text.utf8) }
    return tokens.indices.contains(id) ? ByteAlphabet.bytes(of: tokens[id]) : []
  }

  private func words(_ scalars: [Unicode.Scalar]) -> [Range<Int>] {
    guard description.splitsDigits else { return description.splitter.split(scalars[...]) }
    var words: [Range<Int>] = []
    var start = 0
    for (index, scalar) in scalars.enumerated() where scalar.isNumeric {
      if start < index { words += description.splitter.split(scalars[start..<index]) }
      words.append(index..<index + 1)
      start = index + 1
    }
    return words + description.splitter.split(scalars[start...])
  }

  /// A piece of a word, in a list that joins shorten.
  private struct Symbol {
    var id: Int32
    var start, end: Int
    var previous, next: Int
  }

  /// Joins the bytes of a word, which stands at `offset` of the text.
  private func join(_ word: [UInt8], at offset: Int, within bounds: Range<Int>, into result: inout TokenizedText) {
    func append(_ id: Int32, _ range: Range<Int>) {
      result.append(Int(id), (range.lowerBound + offset..<range.upperBound + offset).clamped(to: bounds))
    }
    if description.ignoresMerges {
      var whole = ""
      for byte in word { whole.unicodeScalars.append(ByteAlphabet.scalars[Int(byte)]) }
      if let id = vocabulary[whole] { return append(Int32(id), 0..<word.count) }
    }
    // A byte that the vocabulary does not have is left out.
    var symbols: [Symbol] = []
    for (index, byte) in word.enumerated() {
      guard let id = byteIDs[Int(byte)] else { continue }
      symbols.append(Symbol(id: id, start: index, end: index + 1, previous: symbols.count - 1, next: symbols.count + 1))
    }
    if !symbols.isEmpty { symbols[symbols.count - 1].next = -1 }

    var queue = MergeQueue()
    func propose(_ left: Int) {
      guard left >= 0, symbols[left].next >= 0 else { return }
      let pair = Pair(left: symbols[left].id, right: symbols[symbols[left].next].id)
      guard let merge = merges[pair] else { return }
      queue.push(
        MergeQueue.Candidate(rank: merge.rank, place: Int32(left), left: pair.left, right: pair.right, id: merge.id))
    }
    for index in symbols.indices { propose(index) }
    while let candidate = queue.pop() {
      let left = Int(candidate.place)
      let right = symbols[left].next
      // The pair may have been taken apart since.
      guard right >= 0, symbols[left].id == candidate.left, symbols[right].id == candidate.right else { continue }
      symbols[left].id = candidate.id
      symbols[left].end = symbols[right].end
      symbols[left].next = symbols[right].next
      if symbols[left].next >= 0 { symbols[symbols[left].next].previous = left }
      symbols[right].id = -1
      propose(symbols[left].previous)
      propose(left)
    }
    for symbol in symbols where symbol.id >= 0 { append(symbol.id, symbol.start..<symbol.end) }
  }
}

/// Pairs that may be joined: the pair of lowest rank first, and of equal ones the leftmost. A binary heap.
private struct MergeQueue {
  struct Candidate {
    let rank, place, left, right, id: Int32

    func comes(before other: Candidate) -> Bool { (rank, place) < (other.rank, other.place) }
  }

  private var heap: [Candidate] = []

  mutating func push(_ candidate: Candidate) {
    heap.append(candidate)
    var child = heap.count - 1
    while child > 0, heap[child].comes(before: heap[(child - 1) / 2]) {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> Candidate? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    guard !heap.isEmpty else { return first }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].comes(before: heap[least]) {
        least = child
      }
      if least == parent { return first }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
