import Foundation

extension TextEncoder {
  /// A passage in pieces that the encoder reads whole: it would leave out what is past its ``maximumTokens``. Pieces end
  /// between words where they can.
  public func pieces(of passage: Passage) -> [Passage] {
    pieces(of: passage, tokensEach: maximumTokens)
  }

  private func pieces(of passage: Passage, tokensEach most: Int) -> [Passage] {
    // No token is shorter than a byte, and few stand around a text.
    guard passage.text.utf8.count > maximumTokens / 2 else { return [passage] }
    let tokens = tokenizer.encode(passage.text)
    guard tokens.ids.count > maximumTokens, most > 1 else { return [passage] }
    let around = tokens.ranges.count { $0.isEmpty }
    let cut = Self.cut(passage, at: Self.ends(of: tokens.ranges.filter { !$0.isEmpty }, most: max(1, most - around)))
    // A word that was cut in two may take more tokens than it did.
    return cut.flatMap { pieces(of: $0, tokensEach: most / 2) }
  }

  /// Where pieces of at most so many tokens end, in bytes: before the last word that begins in a piece's second half, or
  /// where the tokens are up.
  private static func ends(of tokens: [Range<Int>], most: Int) -> [Int] {
    var ends: [Int] = []
    var first = 0
    while tokens.count - first > most {
      let after = first + most
      let word = (first + most / 2 + 1...after).last { tokens[$0].lowerBound > tokens[$0 - 1].upperBound } ?? after
      ends.append(tokens[word].lowerBound)
      first = word
    }
    return ends
  }

  private static func cut(_ passage: Passage, at ends: [Int]) -> [Passage] {
    let bytes = Array(passage.text.utf8)
    var pieces: [Passage] = []
    var (first, line) = (0, passage.line)
    for end in ends + [bytes.count] where end > first {
      let text = String(decoding: bytes[first..<end], as: UTF8.self)
      let begin = text.prefix { $0.isWhitespace }.count { $0.isNewline }
      let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
      if !trimmed.isEmpty { pieces.append(Passage(file: passage.file, line: line + begin, text: trimmed)) }
      line += text.count { $0.isNewline }
      first = end
    }
    return pieces
  }
}
