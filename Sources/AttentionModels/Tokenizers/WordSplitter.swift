/// Cuts text into the words within which byte-level BPE joins pieces: the published regular expressions, written out.
///
/// | case | regular expression |
/// |---|---|
/// | `gpt2` | `'s\|'t\|'re\|'ve\|'m\|'ll\|'d\| ?\p{L}+\| ?\p{N}+\| ?[^\s\p{L}\p{N}]+\|\s+(?!\S)\|\s+` |
/// | `llama3(n)` | `(?i:'s\|…\|'d)\|[^\r\n\p{L}\p{N}]?\p{L}+\|\p{N}{1,n}\| ?[^\s\p{L}\p{N}]+[\r\n]*\|\s*[\r\n]+\|\s+(?!\S)\|\s+` |
enum WordSplitter: Sendable, Equatable {
  case gpt2
  case llama3(digits: Int)

  /// The words of a text, as ranges of its scalars, one after the other without a gap.
  func split(_ text: ArraySlice<Unicode.Scalar>) -> [Range<Int>] {
    var words: [Range<Int>] = []
    var scanner = Scanner(text: text)
    while !scanner.isAtEnd {
      let start = scanner.at
      switch self {
      case .gpt2: scanner.skipGPT2Word()
      case .llama3(let digits): scanner.skipLlama3Word(digits: digits)
      }
      // Every branch above takes a scalar; were one not to, this would still end.
      if scanner.at == start { scanner.at += 1 }
      words.append(start..<scanner.at)
    }
    return words
  }

  private struct Scanner {
    let text: ArraySlice<Unicode.Scalar>
    var at: Int

    init(text: ArraySlice<Unicode.Scalar>) {
      self.text = text
      at = text.startIndex
    }

    var isAtEnd: Bool { at == text.endIndex }

    func scalar(_ index: Int) -> Unicode.Scalar? { index < text.endIndex ? text[index] : nil }

    func kind(_ index: Int) -> Kind? { scalar(index).map(Kind.init) }

    /// The first index from `start` on that is not of a kind.
    func end(of kind: Kind, from start: Int) -> Int {
      var index = start
      while self.kind(index) == kind { index += 1 }
      return index
    }

    mutating func skipGPT2Word() {
      if let length = contraction(ignoringCase: false) {
        at += length
        return
      }
      let start = scalar(at) == " " ? at + 1 : at
      if let kind = kind(start), kind != .space {
        at = end(of: kind, from: start)
        return
      }
      skipSpace()
    }

    mutating func skipLlama3Word(digits: Int) {
      if let length = contraction(ignoringCase: true) {
        at += length
        return
      }
      let first = text[at]
      let firstKind = Kind(first)
      if firstKind == .letter {
        at = end(of: .letter, from: at)
        return
      }
      if firstKind != .number, first != "\r", first != "\n", kind(at + 1) == .letter {
        at = end(of: .letter, from: at + 1)
        return
      }
      if firstKind == .number {
        at = min(end(of: .number, from: at), at + digits)
        return
      }
      let start = first == " " ? at + 1 : at
      if kind(start) == .other {
        at = end(of: .other, from: start)
        while scalar(at) == "\r" || scalar(at) == "\n" { at += 1 }
        return
      }
      // White space up to its last line break, where it has one.
      let end = end(of: .space, from: at)
      if let line = text[at..<end].lastIndex(where: { $0 == "\r" || $0 == "\n" }) {
        at = line + 1
        return
      }
      skipSpace()
    }

    /// `\s+(?!\S)|\s+`: white space, but for its last character where a word follows, which may take it along.
    private mutating func skipSpace() {
      let end = end(of: .space, from: at)
      at = end < text.endIndex && end - at > 1 ? end - 1 : end
    }

    /// The length of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` here; in any case, U+017F is an s too.
    private func contraction(ignoringCase: Bool) -> Int? {
      guard text[at] == "'" else { return nil }
      func letter(_ index: Int) -> Unicode.Scalar? {
        guard let scalar = scalar(index), ignoringCase else { return scalar(index) }
        return scalar == "\u{17f}" ? "s" : scalar.properties.lowercaseMapping.unicodeScalars.first
      }
      switch (letter(at + 1), letter(at + 2)) {
      case ("s", _), ("t", _), ("m", _), ("d", _): return 2
      case ("r", "e"), ("v", "e"), ("l", "l"): return 3
      default: return nil
      }
    }
  }

  /// What the expressions tell apart.
  private enum Kind {
    case letter, number, space, other

    init(_ scalar: Unicode.Scalar) {
      if scalar.isASCII {
        switch scalar {
        case "a"..."z", "A"..."Z": self = .letter
        case "0"..."9": self = .number
        case " ", "\t"..."\r": self = .space
        default: self = .other
        }
        return
      }
      if scalar.properties.isWhitespace {
        self = .space
        return
      }
      switch scalar.properties.generalCategory {
      case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
      case .decimalNumber, .letterNumber, .otherNumber: self = .number
      default: self = .other
      }
    }
  }
}

extension Unicode.Scalar {
  /// Whether it is a number by Unicode's categories.
  var isNumeric: Bool {
    switch properties.generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber: true
    default: false
    }
  }
}
