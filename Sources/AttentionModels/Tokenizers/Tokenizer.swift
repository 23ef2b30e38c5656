/// Text as a model reads it.
public struct TokenizedText: Sendable, Equatable {
  /// The tokens' numbers in the vocabulary.
  public var ids: [Int] = []

  /// Where each token stands in the text, in UTF-8 bytes; empty for tokens that the text does not hold, such as `[CLS]`.
  public var ranges: [Range<Int>] = []

  mutating func append(_ id: Int, _ range: Range<Int>) {
    ids.append(id)
    ranges.append(range)
  }
}

/// Cuts text into the tokens of a model's vocabulary, and joins them again.
public protocol Tokenizer: Sendable {
  /// The number of tokens.
  var vocabularySize: Int { get }

  /// The tokens of a text, with the special ones that the model wants around it.
  func encode(_ text: String) -> TokenizedText

  /// A token as the vocabulary writes it; `nil` for a number that is none.
  func token(_ id: Int) -> String?

  /// The number of a token, written as in the vocabulary.
  func id(of token: String) -> Int?

  /// The text that tokens stand for.
  ///
  /// - Parameter skippingSpecial: Whether special tokens are left out.
  func decode(_ ids: [Int], skippingSpecial: Bool) -> String
}

/// What is wrong with a tokenizer's description.
public struct TokenizerError: Error, Sendable, Equatable, CustomStringConvertible {
  public let file: String
  public let found: String
  public let expected: String

  public var description: String { "\(file): expected \(expected), found \(found)" }
}
