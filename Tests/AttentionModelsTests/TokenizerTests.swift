import AttentionModels
import Foundation
import Testing

/// What the original library made of a text.
private struct Case: Decodable {
  let text: String
  let ids: [Int]
  /// In bytes, or in the scalars of the text.
  let offsets: [[Int]]?
}

@Suite struct TokenizerTests {
  /// A tokenizer of the fixtures, and its answers.
  private static func load(_ name: String) throws -> (tokenizer: any Tokenizer, cases: [Case]) {
    struct File: Decodable {
      let tokenizer: TokenizerJSON
      let cases: [Case]
    }
    let path = Bundle.module.bundleURL.appendingPathComponent("Fixtures/\(name).json").path
    let file = try JSONDecoder().decode(File.self, from: try Data(contentsOf: URL(fileURLWithPath: path)))
    return (try file.tokenizer.tokenizer(path: path), file.cases)
  }

  @Test(arguments: ["wordpiece", "bpe_digits", "bpe_llama3"])
  func agreesWithTheOriginal(name: String) throws {
    let (tokenizer, cases) = try Self.load(name)
    #expect(cases.count == 120)
    for one in cases {
      let found = tokenizer.encode(one.text)
      #expect(found.ids == one.ids, "\(one.text.debugDescription)")
      if let offsets = one.offsets {
        #expect(found.ranges.map { [$0.lowerBound, $0.upperBound] } == offsets, "\(one.text.debugDescription)")
      }
    }
  }

  @Test(arguments: ["bpe_digits", "bpe_llama3"])
  func givesTheTextBack(name: String) throws {
    let (tokenizer, cases) = try Self.load(name)
    for one in cases {
      let found = tokenizer.encode(one.text)
      #expect(tokenizer.decode(found.ids, skippingSpecial: false) == one.text)
      // The tokens' ranges are the text, one after the other.
      #expect(found.ranges.map(\.count).reduce(0, +) == one.text.utf8.count)
      #expect(found.ranges.isSorted)
    }
  }

  @Test func specialTokensAreSkippedOnRequest() throws {
    let (tokenizer, _) = try Self.load("bpe_digits")
    let ids = tokenizer.encode("<|im_start|>user\nHi<|im_end|>").ids
    #expect(ids.first == 1)
    #expect(ids.last == 2)
    #expect(tokenizer.decode(ids, skippingSpecial: true) == "user\nHi")
    #expect(tokenizer.token(1) == "<|im_start|>")
    #expect(tokenizer.token(-1) == nil)
    #expect(tokenizer.token(1 << 40) == nil)
    #expect(tokenizer.id(of: "<|im_end|>") == 2)
  }

  @Test func wordPieceJoinsItsPieces() throws {
    let (tokenizer, _) = try Self.load("wordpiece")
    let ids = tokenizer.encode("Unaffable!").ids
    #expect(ids.count > 4)
    #expect(tokenizer.decode(ids, skippingSpecial: true) == "unaffable !")
  }

  /// A word of a hundred thousand letters, which a quadratic search would not finish.
  @Test func longWordsTakeNoLongerThanTheirLength() throws {
    let (tokenizer, _) = try Self.load("bpe_digits")
    let text = String(repeating: "ab", count: 50_000)
    #expect(tokenizer.decode(tokenizer.encode(text).ids, skippingSpecial: false) == text)
  }

  private static func tokenizer(_ json: String) throws -> any Tokenizer {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tokenizer-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data(json.utf8).write(to: folder.appendingPathComponent("tokenizer.json"))
    return try Tokenizers.load(folder: folder.path)
  }

  @Test func aWordOfAHundredCharactersIsTheLongestThatIsCut() throws {
    let tokenizer = try WordPiece(tokens: ["[UNK]", "[CLS]", "[SEP]", "a", "##a"], file: "words")
    for count in [99, 100] {
      let ids = tokenizer.encode(String(repeating: "a", count: count)).ids
      #expect(ids == [1, 3] + Array(repeating: 4, count: count - 1) + [2])
    }
    #expect(tokenizer.encode(String(repeating: "a", count: 101)).ids == [1, 0, 2])
  }

  @Test(arguments: [true, false])
  func aWordThatIsATokenNeedsNoMerges(ignores: Bool) throws {
    let tokenizer = try Self.tokenizer(
      #"{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"abb":3},"merges":["a b"],"ignore_merges":\#(ignores)},"#
        + #""pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}}"#)
    #expect(tokenizer.encode("abb").ids == (ignores ? [3] : [2, 1]))
    #expect(tokenizer.encode("abba").ids == [2, 1, 0])
  }

  /// The blank that is put in front of a text is in no range of it.
  @Test func rangesAreThoseOfTheTextWithoutItsPrefix() throws {
    let tokenizer = try Self.tokenizer(
      #"{"model":{"type":"BPE","vocab":{"a":0,"b":1,"Ġ":2,"Ġa":3},"merges":["Ġ a"]},"#
        + #""pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true}}"#)
    let text = tokenizer.encode("ab")
    #expect(text.ids == [3, 1])
    #expect(text.ranges == [0..<1, 1..<2])
  }

  @Test func whatIsNotKnownIsRefused() throws {
    func error(_ json: String) throws -> String {
      try #require(throws: TokenizerError.self) { try Self.tokenizer(json) }.description
    }
    #expect(try error("nonsense").contains("does not parse"))
    #expect(try error(#"{"model":{"type":"Unigram","vocab":{}}}"#).contains("Unigram"))
    #expect(try error(#"{"model":{"type":"WordPiece","vocab":{"a":0}}}"#).contains("[UNK]"))
    #expect(try error(#"{"model":{"type":"WordPiece","vocab":{"[UNK]":-1}}}"#).contains("numbers"))
    #expect(try error(#"{"model":{"type":"WordPiece","vocab":{"[UNK]":4000000000}}}"#).contains("numbers"))
    for id in [-1, 4_000_000_000, Int.max] {
      let added = #""added_tokens":[{"id":\#(id),"content":"<x>"}]"#
      #expect(try error(#"{"model":{"type":"WordPiece","vocab":{"[UNK]":0}},\#(added)}"#).contains("numbers"))
    }
    #expect(try error(#"{"model":{"type":"BPE","vocab":{"a":0}}}"#).contains("byte-level"))
    let bytes = #""pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}"#
    #expect(try error(#"{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]},\#(bytes)}"#).contains("merge"))
    #expect(
      try error(#"{"model":{"type":"BPE","vocab":{"a":0}},"normalizer":{"type":"NFKC"},\#(bytes)}"#).contains("NFKC"))
    #expect(
      try error(#"{"model":{"type":"BPE","vocab":{"a":0}},"pre_tokenizer":{"type":"Metaspace"}}"#).contains("Metaspace")
    )
    #expect(throws: TokenizerError.self) { try Tokenizers.load(folder: "/nowhere") }
  }
}

extension [Range<Int>] {
  fileprivate var isSorted: Bool { zip(self, dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound } }
}
