import Attention
import TensorFiles
import Testing

/// Case files that do not fit: each error names the file, the tensor or key, and what was expected.
@Suite struct AttentionCaseFileErrorTests {
  let folder: TestFolder

  init() throws { folder = try TestFolder() }

  private func error(_ builder: CaseBuilder, sourceLocation: SourceLocation = #_sourceLocation) throws
    -> TensorFileError
  {
    let error = try #require(throws: TensorFileError.self, sourceLocation: sourceLocation) {
      try builder.read(in: folder)
    }
    #expect(error.file == folder.file("case.safetensors"), sourceLocation: sourceLocation)
    return error
  }

  @Test(arguments: [
    (#"{"layot": "bhsd"}"#, "layot", "an unknown key"),
    (#"{"layout": "bsdh"}"#, "layout", "bsdh"),
    (#"{"layout": 1}"#, "layout", "1"),
    (#"{"causal": true}"#, "causal", "true"),
    (#"{"causal": "upperLeft"}"#, "causal", "upperLeft"),
    (#"{"query_offset": 0.5}"#, "query_offset", "0.5"),
    (#"{"query_offset": "0"}"#, "query_offset", "the string"),
    (#"{"query_offset": false}"#, "query_offset", "false"),
    (#"{"query_offset": 1e30}"#, "query_offset", "1e+30"),
    (#"{"scale": "0.125"}"#, "scale", "the string"),
    (#"{"scale": true}"#, "scale", "true"),
    (#"{"scale": [1]}"#, "scale", "[1]"),
    (#"{"softcap": {}}"#, "softcap", "an object"),
    (#"{"softcap": true}"#, "softcap", "true"),
    (#"{"window": 128}"#, "window", "128"),
    (#"{"window": [128]}"#, "window", "[128]"),
    (#"{"window": [1, 2, 3]}"#, "window", "[1, 2, 3]"),
    (#"{"window": [1.5, 0]}"#, "window", "[1.5, 0]"),
    (#"{"window": [-1, 0]}"#, "window", "[-1, 0]"),
    (#"{"window": ["1", 0]}"#, "window", "the string"),
    (#"{"window": [true, 0]}"#, "window", "true"),
    (#"{"block_size": 16}"#, "block_size", "16"),
    (#"{"block_size": [16]}"#, "block_size", "[16]"),
    (#"{"block_size": [16, 0]}"#, "block_size", "[16, 0]"),
    (#"{"block_size": [16, null]}"#, "block_size", "[16, null]"),
    (#"{"outputs": "output"}"#, "outputs", "the string"),
    (#"{"outputs": []}"#, "outputs", "[]"),
    (#"{"outputs": ["output", 1]}"#, "outputs", "1"),
    (#"{"outputs": ["outptu"]}"#, "outputs", "outptu"),
  ])
  func options(attention: String, key: String, found: String) throws {
    let error = try error(CaseBuilder(attention: attention))
    #expect(error.part == .metadata("attention.\(key)"))
    #expect(error.found.contains(found))
  }

  @Test(arguments: ["", "[]", "1", "{", "{\"scale\": NaN}", "{\"scale\": 1e400}", "{scale: 1}"])
  func attentionThatIsNoObject(text: String) throws {
    let error = try error(CaseBuilder(attention: text))
    #expect(error.part == .metadata("attention"))
    #expect(error.expected == "a JSON object")
  }

  @Test func attentionThatIsTooLong() throws {
    let error = try error(CaseBuilder(attention: "{" + String(repeating: " ", count: 70_000) + "}"))
    #expect(error.part == .metadata("attention"))
    #expect(error.expected.hasPrefix("at most"))
  }

  /// Numbers of the right type that make no sense, which the library itself finds.
  @Test(arguments: [
    (#"{"softcap": 0}"#, "softcap"), (#"{"softcap": -1}"#, "softcap"), (#"{"scale": 1e300}"#, "scale"),
    (#"{"query_offset": 4611686018427387904}"#, "query_offset"),
    (#"{"query_offset": -9223372036854775808}"#, "query_offset"),
  ])
  func numbersOutOfRange(attention: String, argument: String) throws {
    #expect(try error(CaseBuilder(attention: attention)).part == .argument(argument))
  }

  @Test(arguments: ["query_gradient", "key_gradient", "value_gradient", "mask_gradient", "sinks_gradient"])
  func gradientOutputs(name: String) throws {
    let error = try error(CaseBuilder(attention: #"{"outputs": ["output", "\#(name)"]}"#))
    #expect(error.part == .metadata("attention.outputs"))
    #expect(error.description.contains("forward pass only"))
    #expect(error.description.contains(name))
  }

  @Test func outputGradient() throws {
    var builder = try CaseBuilder()
    builder.tensors["output_gradient"] = try CaseBuilder.zeros([2, 4, 3, 6])
    let error = try error(builder)
    #expect(error.part == .tensor("output_gradient"))
    #expect(error.description.contains("forward pass only"))
  }

  @Test(arguments: ["Query", "queries", "expected", "bias", "output"])
  func unknownTensors(name: String) throws {
    var builder = try CaseBuilder()
    builder.tensors[name] = try CaseBuilder.zeros([1])
    let error = try error(builder)
    #expect(error.part == .tensor(name))
    #expect(error.expected.contains("query, key, value"))
  }

  @Test(arguments: ["query", "key", "value"])
  func missingOperands(name: String) throws {
    var builder = try CaseBuilder()
    builder.tensors[name] = nil
    let error = try error(builder)
    #expect(error.part == .tensor(name))
    #expect(error.found == "none")
  }

  @Test(arguments: ["query", "key", "value", "block_table"])
  func operandsBesideQKV(name: String) throws {
    var builder = try CaseBuilder()
    builder.tensors = ["qkv": try CaseBuilder.zeros([2, 5, 3, 4, 8]), name: try CaseBuilder.zeros([1, 1], .int32)]
    #expect(try error(builder).part == .tensor(name))
  }

  @Test func blockSizeWithoutMask() throws {
    let error = try error(CaseBuilder(attention: #"{"block_size": [16, 16]}"#))
    #expect(error.part == .tensor("block_mask"))
    #expect(error.found == "none")
  }

  @Test(arguments: [nil, "{}"])
  func blockMaskWithoutSize(attention: String?) throws {
    var builder = try CaseBuilder()
    builder.metadata["attention"] = attention
    builder.tensors["block_mask"] = try CaseBuilder.zeros([1], .bool)
    let error = try error(builder)
    #expect(error.part == .metadata("attention.block_size"))
    #expect(error.found == "none")
    #expect(error.expected.contains("block_mask"))
  }

  @Test(arguments: [([2, 2], ElementType.float32), ([3, 5], .bool)])
  func blockMaskThatDoesNotFit(shape: [Int], type: ElementType) throws {
    var builder = try CaseBuilder(attention: #"{"block_size": [2, 3]}"#)
    builder.tensors["block_mask"] = try CaseBuilder.zeros(shape, type)
    #expect(try error(builder).part == .tensor("block_mask"))
  }

  @Test(arguments: ["bhsd", "thd"])
  func qkvInAnotherLayout(layout: String) throws {
    var builder = try CaseBuilder(attention: #"{"layout": "\#(layout)"}"#)
    builder.tensors = ["qkv": try CaseBuilder.zeros([2, 5, 3, 4, 8])]
    let error = try error(builder)
    #expect(error.part == .metadata("attention.layout"))
    #expect(error.found == "\"\(layout)\"")
  }

  @Test(arguments: [("past_key", "past_value", 6), ("past_value", "past_key", 4)])
  func halfOfThePast(missing: String, given: String, width: Int) throws {
    var builder = try CaseBuilder()
    builder.tensors[given] = try CaseBuilder.zeros([2, 2, 1, width])
    let error = try error(builder)
    #expect(error.part == .tensor(missing))
    #expect(error.found == "none")
  }

  @Test(arguments: [
    ("key_lengths", [2], ElementType.float32), ("key_lengths", [2, 1], .int32), ("key_lengths", [], .int32),
    ("alibi_slopes", [4], .float16), ("alibi_slopes", [4], .float64), ("sinks", [1, 4], .float32),
    ("sinks", [4], .int32), ("cumulative_query_lengths", [3], .bool), ("cumulative_key_lengths", [1, 3], .int64),
    ("block_table", [2, 1], .int64), ("block_table", [2], .int32), ("mask", [3, 5], .int32),
    ("mask", [3, 5], .float64),
    ("expected.output", [2, 4, 3, 6], .float16), ("query", [2, 4, 3, 4], .float16), ("key", [2, 2, 5, 4], .float16),
  ])
  func wrongTypeOrRank(name: String, shape: [Int], type: ElementType) throws {
    var builder = try CaseBuilder()
    builder.tensors[name] = try CaseBuilder.zeros(shape, type)
    if name == "block_table" {
      builder.tensors["key"] = try CaseBuilder.zeros([9, 16, 2, 4])
      builder.tensors["value"] = try CaseBuilder.zeros([9, 16, 2, 6])
    }
    let error = try error(builder)
    // A query of another type is found where the key differs from it.
    #expect(error.part == .tensor(name == "query" ? "key" : name))
  }

  @Test(arguments: [
    ("query", [2, 4, 3]), ("query", [2, 4, 3, 5]), ("query", [3, 4, 3, 4]), ("query", [2, 3, 3, 4]),
    ("key", [2, 2, 6, 4]), ("value", [2, 2, 6, 6]), ("mask", [2, 3, 5]), ("mask", [1, 2, 4, 3, 5]),
    ("alibi_slopes", [3]), ("sinks", [5]), ("past_key", [2, 2, 1, 5]), ("past_value", [2, 1, 1, 6]),
  ])
  func shapesThatDoNotFit(name: String, shape: [Int]) throws {
    var builder = try CaseBuilder()
    if name.hasPrefix("past") {
      builder.tensors["past_key"] = try CaseBuilder.zeros([2, 2, 1, 4])
      builder.tensors["past_value"] = try CaseBuilder.zeros([2, 2, 1, 6])
    }
    builder.tensors[name] = try CaseBuilder.zeros(shape)
    guard case .tensor = try error(builder).part else {
      Issue.record("the error names no tensor")
      return
    }
  }

  @Test func indexedArgumentsCountAsTensors() throws {
    var builder = try CaseBuilder()
    builder.tensors["key_lengths"] = try CaseBuilder.integers([5, 6])
    #expect(try error(builder).part == .tensor("key_lengths[1]"))
    builder.tensors["key_lengths"] = try CaseBuilder.integers([-1, 5])
    #expect(try error(builder).part == .tensor("key_lengths[0]"))
  }

  @Test func cumulativeLengths() throws {
    var builder = try CaseBuilder()
    builder.tensors["cumulative_query_lengths"] = try CaseBuilder.integers([0, 1, 3])
    #expect(try error(builder).part == .tensor("cumulative_query_lengths"))

    builder = try CaseBuilder(attention: #"{"layout": "thd"}"#)
    builder.tensors = [
      "query": try CaseBuilder.zeros([6, 4, 4]), "key": try CaseBuilder.zeros([7, 2, 4]),
      "value": try CaseBuilder.zeros([7, 2, 4]), "cumulative_key_lengths": try CaseBuilder.integers([0, 3, 7]),
    ]
    for lengths in [nil, [0, 7, 6], [0, 3, 5], [1, 3, 6], [], [0, .max, 6]] {
      builder.tensors["cumulative_query_lengths"] = try lengths.map { try CaseBuilder.integers($0, .int64) }
      #expect(try error(builder).part == .tensor("cumulative_query_lengths"))
    }
  }

  @Test(arguments: [(#"{"lowp": "1"}"#, "lowp"), (#"{"x": []}"#, "x")])
  func errorFactsOfOtherTypes(text: String, key: String) throws {
    var builder = try CaseBuilder()
    builder.metadata["error"] = text
    #expect(try error(builder).part == .metadata("error.\(key)"))
  }

  @Test func truncatedCase() throws {
    let path = folder.file("whole")
    try Safetensors.write(try CaseBuilder().tensors, to: path)
    let whole = try folder.contents(of: "whole")
    for count in stride(from: 0, to: whole.count, by: 41) {
      let cut = try folder.write(Array(whole[..<count]))
      #expect(throws: TensorFileError.self) { try AttentionCaseFile(path: cut) }
    }
  }
}
