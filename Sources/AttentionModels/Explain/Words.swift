/// The words of a tokenized text: each some tokens that follow one another.
///
/// Pieces of a word are joined, and so is what an apostrophe holds together (`didn`, `'`, `t`); other punctuation, and
/// tokens that the text does not hold, such as `[CLS]`, are words of their own.
public struct Words: Sendable, Equatable {
  /// How each word stands in the text; a token that does not, as in the vocabulary.
  public let texts: [String]

  /// The tokens of each word, one word after the other.
  public let tokens: [Range<Int>]

  /// Whether a word is of the text and no punctuation: what says something by being looked at.
  public let areContent: [Bool]

  public init(_ tokenized: TokenizedText, of text: String, by tokenizer: any Tokenizer) {
    let bytes = Array(text.utf8)
    func string(_ range: Range<Int>) -> String {
      String(decoding: bytes[range.clamped(to: 0..<bytes.count)], as: UTF8.self)
    }
    /// A token's place without the blank that byte-level tokens begin with.
    func core(_ range: Range<Int>) -> Range<Int> {
      var range = range
      while let first = range.first, bytes.indices.contains(first),
        bytes[first] == 0x20 || (9...13).contains(bytes[first])
      {
        range = first + 1..<range.upperBound
      }
      return range
    }
    var groups: [Range<Int>] = []
    for (index, range) in tokenized.ranges.enumerated() {
      var isJoined = false
      if index > 0, let group = groups.last, !range.isEmpty, !tokenized.ranges[index - 1].isEmpty {
        let previous = tokenized.ranges[index - 1]
        if core(previous).isEmpty {
          // A blank that is a token of its own belongs to the word after it.
          isJoined = true
        } else if core(range) == range, previous.upperBound == range.lowerBound || previous == range {
          let before = string(core(tokenized.ranges[group.lowerBound]).lowerBound..<range.lowerBound)
          isJoined = Self.joins(before, string(range))
        }
      }
      if isJoined, let group = groups.last {
        groups[groups.count - 1] = group.lowerBound..<index + 1
      } else {
        groups.append(index..<index + 1)
      }
    }
    tokens = groups
    texts = groups.map { group in
      let place =
        core(tokenized.ranges[group.lowerBound]).lowerBound..<tokenized.ranges[group.upperBound - 1].upperBound
      let word = place.isEmpty ? "" : string(place)
      return word.isEmpty ? tokenizer.token(tokenized.ids[group.lowerBound]) ?? "?" : word
    }
    areContent = zip(groups, texts).map { group, text in
      !tokenized.ranges[group.lowerBound].isEmpty && text.unicodeScalars.contains { $0.isOfWord }
    }
  }

  /// Whether what follows a word without a gap belongs to it.
  private static func joins(_ word: String, _ next: String) -> Bool {
    guard let last = word.unicodeScalars.last, let first = next.unicodeScalars.first else { return false }
    // A character that is cut in two is whole in neither part.
    if first == "\u{fffd}" || last == "\u{fffd}" { return true }
    let isApostrophe = { (scalar: Unicode.Scalar) in scalar == "'" || scalar == "\u{2019}" }
    let beginsAsWord = word.unicodeScalars.first?.isOfWord == true
    return beginsAsWord && (last.isOfWord || isApostrophe(last)) && (first.isOfWord || isApostrophe(first))
  }

  /// The word that a user means: the text of one, ignoring case, or its number with `#` before it.
  ///
  /// - Returns: The first of them, nil where there is none.
  public func find(_ name: String) -> Int? {
    if name.hasPrefix("#"), let number = Int(name.dropFirst()) { return texts.indices.contains(number) ? number : nil }
    return texts.firstIndex(of: name) ?? texts.firstIndex { $0.lowercased() == name.lowercased() }
  }
}

extension Unicode.Scalar {
  /// Whether it is a letter, a mark or a number.
  fileprivate var isOfWord: Bool {
    properties.isAlphabetic || properties.numericType != nil || properties.isEmoji && !isASCII || isMark
  }

  private var isMark: Bool {
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark: true
    default: false
    }
  }
}
