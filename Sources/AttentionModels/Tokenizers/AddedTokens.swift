/// A token that is looked for in the text before anything else: `[CLS]`, `<|im_start|>`.
public struct AddedToken: Sendable, Equatable {
  public var id: Int
  public var text: String
  /// Whether it is a mark for the model rather than text.
  public var isSpecial = true
  /// Whether white space before or after it belongs to it.
  public var stripsLeft = false
  public var stripsRight = false
  /// Whether it counts only where no letter or digit stands beside it.
  public var isWholeWord = false

  public init(id: Int, text: String) {
    self.id = id
    self.text = text
  }
}

/// Finds added tokens in a text: from left to right, and of those that begin at one place the longest.
struct AddedTokens: Sendable {
  enum Piece: Equatable {
    case text(Range<Int>)
    case token(Int, Range<Int>)
  }

  /// The tokens' bytes, longest first, by their first byte.
  private let byFirst: [UInt8: [(bytes: [UInt8], token: AddedToken)]]

  init(_ tokens: [AddedToken]) {
    let bytes = tokens.filter { !$0.text.isEmpty }.map { (bytes: Array($0.text.utf8), token: $0) }
    byFirst = Dictionary(grouping: bytes) { $0.bytes[0] }.mapValues { $0.sorted { $0.bytes.count > $1.bytes.count } }
  }

  /// Cuts a text at its added tokens; ranges are in bytes.
  func split(_ text: [UInt8]) -> [Piece] {
    guard !byFirst.isEmpty else { return text.isEmpty ? [] : [.text(0..<text.count)] }
    var pieces: [Piece] = []
    var start = 0
    var at = 0
    while at < text.count {
      guard let found = byFirst[text[at]]?.first(where: { matches($0.bytes, $0.token, text, at) }) else {
        at += 1
        continue
      }
      var range = at..<at + found.bytes.count
      if found.token.stripsLeft {
        while range.lowerBound > start, text[range.lowerBound - 1].isASCIISpace {
          range = range.lowerBound - 1..<range.upperBound
        }
      }
      if found.token.stripsRight {
        while range.upperBound < text.count, text[range.upperBound].isASCIISpace {
          range = range.lowerBound..<range.upperBound + 1
        }
      }
      if range.lowerBound > start { pieces.append(.text(start..<range.lowerBound)) }
      pieces.append(.token(found.token.id, range))
      at = range.upperBound
      start = at
    }
    if start < text.count { pieces.append(.text(start..<text.count)) }
    return pieces
  }

  private func matches(_ token: [UInt8], _ kind: AddedToken, _ text: [UInt8], _ at: Int) -> Bool {
    guard at + token.count <= text.count, text[at..<at + token.count].elementsEqual(token) else { return false }
    guard kind.isWholeWord else { return true }
    let before = String(decoding: text[..<at], as: UTF8.self).unicodeScalars.last
    let after = String(decoding: text[(at + token.count)...], as: UTF8.self).unicodeScalars.first
    return ![before, after].contains { $0?.isWord == true }
  }
}

extension UInt8 {
  fileprivate var isASCIISpace: Bool { self == 0x20 || (0x09...0x0d).contains(self) }
}

extension Unicode.Scalar {
  /// Whether it is a letter, digit or underscore.
  fileprivate var isWord: Bool { properties.isAlphabetic || properties.numericType != nil || self == "_" }
}
