import Attention
import Foundation
import TensorFiles
import Testing

/// Files that no writer makes: each is an error that names the file, and none is a crash.
@Suite struct SafetensorsHostileFileTests {
  let folder: TestFolder

  init() throws { folder = try TestFolder() }

  private func expectError(
    _ bytes: [UInt8], part: TensorFileError.Part = .file, saying text: String = ":",
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let path = try folder.write(bytes)
    let error = try #require(throws: TensorFileError.self, sourceLocation: sourceLocation) {
      try Safetensors(path: path)
    }
    #expect(error.file == path, sourceLocation: sourceLocation)
    #expect(error.part == part, sourceLocation: sourceLocation)
    #expect(error.description.contains(text), sourceLocation: sourceLocation)
    #expect(!error.description.contains("\n"), sourceLocation: sourceLocation)
  }

  @Test(arguments: 0..<8)
  func shorterThanTheHeaderLength(count: Int) throws {
    try expectError([UInt8](repeating: 1, count: count), saying: "\(count) bytes")
  }

  @Test(arguments: [9, 100_000_000, 100_000_001, UInt64(Int.max), UInt64(Int.max) + 1, .max])
  func headerLengthPastTheFile(length: UInt64) throws {
    try expectError(
      SafetensorsBytes.file(headerLength: length, header: Array("{}      ".utf8)), saying: "a header of \(length) bytes"
    )
  }

  @Test func headerLongerThanTheFormatAllows() throws {
    // A sparse file: all zeros past its first bytes.
    let path = try folder.write(SafetensorsBytes.file(headerLength: 100_000_001, header: Array("{}".utf8)))
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.truncate(atOffset: 200_000_000)
    let error = try #require(throws: TensorFileError.self) { try Safetensors(path: path) }
    #expect(error.expected == "a header of at most 100000000 bytes")
  }

  @Test(arguments: [
    "", " {}", "[]", "null", "\"text\"", "{", "{}}", "{\"x\":}", "{} x", "{\"a\" 1}", "{'a':1}", "{\"a\u{0}\":{}}",
    "{\"a\":\"\\ud800\"", "\u{feff}{}", "{}\u{0}",
  ])
  func headerThatIsNoObject(header: String) throws {
    try expectError(SafetensorsBytes.file(header: header), saying: "header")
  }

  @Test func headerThatIsNoUTF8() throws {
    let header = Array("{\"__metadata__\":{\"a\":\"".utf8) + [0xff, 0xfe] + Array("\"}}".utf8)
    let path = try folder.write(SafetensorsBytes.file(headerLength: UInt64(header.count), header: header))
    #expect(throws: TensorFileError.self) { try Safetensors(path: path) }
    let wide: [UInt8] = "{}".utf8.flatMap { [$0, 0] }
    try expectError(SafetensorsBytes.file(headerLength: UInt64(wide.count), header: wide))
  }

  @Test(arguments: ["[", #"{"x":"#])
  func deepNesting(bracket: String) throws {
    let levels = String(repeating: bracket, count: 200_000)
    try expectError(SafetensorsBytes.file(header: #"{"x":\#(levels)"#), saying: "does not parse")
  }

  @Test(arguments: ["[1]", "\"text\"", #"{"a":1}"#, #"{"a":null}"#, #"{"a":{}}"#, "1e400", "true"])
  func metadataOtherThanStrings(metadata: String) throws {
    try expectError(
      SafetensorsBytes.file(header: #"{"__metadata__":\#(metadata)}"#), part: .metadata("__metadata__"),
      saying: "an object of strings")
  }

  @Test(arguments: [
    (#""text""#, "an object with dtype"),
    ("[]", "an object with dtype"),
    ("null", "an object with dtype"),
    ("{}", "no dtype"),
    (#"{"shape":[1],"data_offsets":[0,4]}"#, "no dtype"),
    (#"{"dtype":"F32","data_offsets":[0,4]}"#, "no shape"),
    (#"{"dtype":"F32","shape":[1]}"#, "no data_offsets"),
    (#"{"dtype":"F31","shape":[1],"data_offsets":[0,4]}"#, "\"F31\""),
    (#"{"dtype":"f32","shape":[1],"data_offsets":[0,4]}"#, "\"f32\""),
    (#"{"dtype":32,"shape":[1],"data_offsets":[0,4]}"#, "dtype 32"),
    (#"{"dtype":"F32","shape":1,"data_offsets":[0,4]}"#, "shape 1"),
    (#"{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}"#, "shape [the string"),
    (#"{"dtype":"F32","shape":[true],"data_offsets":[0,4]}"#, "shape [true]"),
    (#"{"dtype":"F32","shape":[null],"data_offsets":[0,4]}"#, "shape [null]"),
    (#"{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}"#, "shape [-1]"),
    (#"{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}"#, "shape [-1, -1]"),
    (#"{"dtype":"F32","shape":[-1,0],"data_offsets":[0,0]}"#, "shape [-1, 0]"),
    (#"{"dtype":"F32","shape":[0.5],"data_offsets":[0,4]}"#, "shape [0.5]"),
    (#"{"dtype":"F32","shape":[1e30],"data_offsets":[0,4]}"#, "shape [1e+30]"),
    (#"{"dtype":"F32","shape":[1e400],"data_offsets":[0,4]}"#, "does not parse"),
    (#"{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]}"#, "integers"),
    (#"{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4]}"#, "address space"),
    (#"{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}"#, "address space"),
    (#"{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}"#, "address space"),
    (#"{"dtype":"F32","shape":[1],"data_offsets":[4,0]}"#, "[4, 0]"),
    (#"{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}"#, "[-4, 0]"),
    (#"{"dtype":"F32","shape":[1],"data_offsets":[0]}"#, "[0]"),
    (#"{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}"#, "[0, 4, 8]"),
    (#"{"dtype":"F32","shape":[1],"data_offsets":[]}"#, "[]"),
    (#"{"dtype":"F32","shape":[1],"data_offsets":[0,8]}"#, "4 bytes of data"),
    (#"{"dtype":"F32","shape":[1],"data_offsets":[0,9223372036854775807]}"#, "4 bytes of data"),
    (#"{"dtype":"F32","shape":[2],"data_offsets":[0,4]}"#, "8 bytes for F32 [2]"),
    (#"{"dtype":"F16","shape":[1],"data_offsets":[0,4]}"#, "2 bytes for F16 [1]"),
    (#"{"dtype":"F16","shape":[1],"data_offsets":[2,4]}"#, "a hole"),
  ])
  func tensorThatDoesNotFit(entry: String, text: String) throws {
    try expectError(SafetensorsBytes.file(entry: entry, data: [0, 0, 0, 0]), part: .tensor("x"), saying: text)
  }

  @Test(arguments: [
    ([0, 4], [0, 4], "inside another"), ([0, 4], [2, 6], "inside another"), ([0, 4], [5, 9], "a hole"),
    ([4, 8], [8, 12], "a hole"),
  ])
  func tensorsThatDoNotMeet(first: [Int], second: [Int], text: String) throws {
    let header = #"""
      {"a":{"dtype":"F32","shape":[1],"data_offsets":\#(first)},"b":{"dtype":"F32","shape":[1],"data_offsets":\#(second)}}
      """#
    let path = try folder.write(SafetensorsBytes.file(header: header, data: [UInt8](repeating: 0, count: 12)))
    let error = try #require(throws: TensorFileError.self) { try Safetensors(path: path) }
    #expect(error.description.contains(text))
  }

  @Test func bytesThatBelongToNoTensor() throws {
    try expectError(SafetensorsBytes.file(header: "{}", data: [1]), saying: "1 bytes of data")
    try expectError(
      SafetensorsBytes.file(entry: #"{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}"#, data: [1, 0]),
      saying: "2 bytes of data")
  }

  /// JSONDecoder keeps one of two members of a name. Where both lie in the same place nothing else is wrong with the file.
  @Test(arguments: [
    #""a":\#(byte),"a":{"dtype":"BOOL","shape":[1],"data_offsets":[1,2]}"#,
    #""a":\#(byte),"a":\#(byte)"#,
    #""a":\#(byte),"b":\#(empty),"c":\#(empty) , "\u0061" : \#(byte)"#,
    #""__metadata__":{"b":"\"}],{a\\"},"a":\#(byte),"b\\":\#(empty),"a":\#(byte)"#,
  ])
  func duplicateTensors(members: String) throws {
    try expectError(
      SafetensorsBytes.file(header: "{\(members)}", data: [0]), part: .tensor("a"),
      saying: "expected one tensor of it, found the name twice")
  }

  private static let byte = #"{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}"#
  private static let empty = #"{"dtype":"BOOL","shape":[0],"data_offsets":[1,1]}"#

  @Test func duplicateMetadata() throws {
    try expectError(
      SafetensorsBytes.file(header: #"{"__metadata__":{"a":"b"},"__metadata__":{"a":"c"}}"#),
      part: .metadata("__metadata__"), saying: "the key twice")
  }

  /// Names within objects and texts are others.
  @Test func namesThatOnlyLookLikeDuplicates() throws {
    let header = #"""
      {"__metadata__":{"a":"a","b":",\"a\":{}"},"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1],"a":["a"]},
       "\\":\#(Self.empty),"\"a":\#(Self.empty)}
      """#
    let file = try Safetensors(path: try folder.write(SafetensorsBytes.file(header: header, data: [0])))
    #expect(Set(file.entries.map(\.name)) == ["a", "\\", "\"a"])
  }

  @Test func namesWithControlCharactersStayOnOneLine() throws {
    let path = try folder.write(SafetensorsBytes.file(header: #"{"a\n\u001b[31m":{}}"#))
    let error = try #require(throws: TensorFileError.self) { try Safetensors(path: path) }
    #expect(error.part == .tensor("a\n\u{1b}[31m"))
    #expect(error.description.contains(#"'a\n\u{001B}[31m'"#) || !error.description.contains("\u{1b}"))
    #expect(!error.description.contains("\n"))
    let long = try folder.write(
      SafetensorsBytes.file(header: #"{"\#(String(repeating: "n", count: 100_000))":{}}"#))
    let cut = try #require(throws: TensorFileError.self) { try Safetensors(path: long) }
    #expect(cut.description.utf8.count < 2_000)
  }

  /// A whole file cut at any length is an error when it is opened.
  @Test func truncatedFiles() throws {
    try Safetensors.write(
      ["x": try Tensor([1, 2, 3], shape: [3]), "y": try Tensor([true], shape: [1])], metadata: ["k": "v"],
      to: folder.file("whole"))
    let whole = try folder.contents(of: "whole")
    for count in whole.indices {
      let path = try folder.write(Array(whole[..<count]))
      #expect(throws: TensorFileError.self) { try Safetensors(path: path) }
    }
  }

  @Test func fileThatShrinksWhileItIsOpen() throws {
    let tensor = try Tensor([Float](repeating: 1, count: 10_000), shape: [10_000])
    try Safetensors.write(["x": tensor], to: folder.file("case"))
    let file = try Safetensors(path: folder.file("case"))
    let handle = try #require(FileHandle(forWritingAtPath: folder.file("case")))
    try handle.truncate(atOffset: 1_000)
    let error = try #require(throws: TensorFileError.self) { try file.tensor("x") }
    #expect(error.part == .tensor("x"))
    #expect(error.found == "the file's end at byte 1000")
  }

  @Test func fileThatIsReplacedWhileItIsOpen() throws {
    let path = folder.file("case")
    try Safetensors.write(["x": try Tensor([1, 2], shape: [2])], to: path)
    let file = try Safetensors(path: path)
    try Safetensors.write(["y": try Tensor([3], shape: [1])], to: path)
    #expect(try file.tensor("x").floats() == [1, 2])
  }

  @Test func pathsThatAreNoFile() throws {
    let pipe = folder.file("pipe")
    #expect(mkfifo(pipe, 0o600) == 0)
    for path in [folder.path, folder.file("missing"), pipe, "/dev/null", "", "a\u{0}b"] {
      let error = try #require(throws: TensorFileError.self) { try Safetensors(path: path) }
      #expect(error.file == path)
      #expect(error.part == .file)
    }
  }
}
