import Attention
import TensorFiles
import Testing

@Suite struct AttentionCaseFileTests {
  let folder: TestFolder

  init() throws { folder = try TestFolder() }

  @Test func defaults() throws {
    for attention in [nil, "{}", #"{"layout":null,"causal":null,"scale":null,"window":null,"outputs":null}"#] {
      var builder = try CaseBuilder()
      builder.metadata["attention"] = attention
      let file = try builder.read(in: folder)
      #expect(file.call.layout == .bhsd)
      #expect(file.call.mask.causal == nil)
      #expect(file.call.mask.queryOffset == nil)
      #expect(file.call.mask.windowLeft == nil)
      #expect(file.call.mask.windowRight == nil)
      #expect(file.call.mask.tensor == nil)
      #expect(file.call.mask.blocks == nil)
      #expect(file.call.scale == nil)
      #expect(file.call.softcap == nil)
      #expect(file.call.returning == .output)
      #expect(file.expected.isEmpty)
      #expect(file.naiveErrors.isEmpty)
      #expect(file.group == nil)
      #expect(file.problem.queryHeads == 4)
      #expect(file.problem.valueDimension == 6)
    }
  }

  @Test func everyOption() throws {
    let builder = try CaseBuilder(
      attention: #"""
        {"layout": "bhsd", "causal": "lower_right", "query_offset": -2, "scale": -0.125, "softcap": 50,
         "window": [128, 0], "outputs": ["log_sum_exp", "weights", "scores", "output"]}
        """#)
    let call = try builder.read(in: folder).call
    #expect(call.layout == .bhsd)
    #expect(call.mask.causal == .lowerRight)
    #expect(call.mask.queryOffset == -2)
    #expect(call.scale == -0.125)
    #expect(call.softcap == 50)
    #expect(call.mask.windowLeft == 128)
    #expect(call.mask.windowRight == 0)
    #expect(call.returning == [.output, .logSumExp, .weights, .scores])
  }

  private typealias Alignment = AttentionMask.CausalAlignment

  @Test(arguments: [("none", nil), ("upper_left", Alignment.upperLeft), ("lower_right", Alignment.lowerRight)])
  func causal(name: String, alignment: AttentionMask.CausalAlignment?) throws {
    let builder = try CaseBuilder(attention: #"{"causal": "\#(name)"}"#)
    #expect(try builder.read(in: folder).call.mask.causal == alignment)
  }

  @Test(arguments: [("[null, 3]", nil, 3), ("[3, null]", 3, nil), ("[null, null]", nil, nil), ("[0, 0]", 0, 0)])
  func window(text: String, left: Int?, right: Int?) throws {
    let mask = try CaseBuilder(attention: #"{"window": \#(text)}"#).read(in: folder).call.mask
    #expect(mask.windowLeft == left)
    #expect(mask.windowRight == right)
  }

  @Test func scaleOfZeroAndIntegers() throws {
    #expect(try CaseBuilder(attention: #"{"scale": 0}"#).read(in: folder).call.scale == 0)
    #expect(try CaseBuilder(attention: #"{"scale": 2, "query_offset": 1e1}"#).read(in: folder).call.scale == 2)
  }

  @Test func everyOperandOfADenseCall() throws {
    var builder = try CaseBuilder(attention: #"{"layout": "bshd"}"#)
    builder.tensors = [
      "query": try CaseBuilder.zeros([2, 3, 4, 4], .bfloat16), "key": try CaseBuilder.zeros([2, 5, 2, 4], .bfloat16),
      "value": try CaseBuilder.zeros([2, 5, 2, 6], .bfloat16), "mask": try CaseBuilder.zeros([3, 7], .bool),
      "alibi_slopes": try Tensor([1, 2, 3, 4], shape: [4]), "sinks": try Tensor([5, 6, 7, 8], shape: [4]),
      "key_lengths": try CaseBuilder.integers([0, 7], .int64),
      "past_key": try CaseBuilder.zeros([2, 2, 2, 4], .bfloat16),
      "past_value": try CaseBuilder.zeros([2, 2, 2, 6], .bfloat16),
    ]
    let file = try builder.read(in: folder)
    #expect(file.call.layout == .bshd)
    #expect(file.call.mask.tensor?.shape == [3, 7])
    #expect(file.call.alibiSlopes == [1, 2, 3, 4])
    #expect(file.call.sinks == [5, 6, 7, 8])
    #expect(file.call.keyLengths == [0, 7])
    #expect(file.call.past?.value.shape == [2, 2, 2, 6])
    #expect(file.problem.keyLength == 7)
    #expect(file.problem.elementType == .bfloat16)
  }

  @Test func blockMask() throws {
    var builder = try CaseBuilder(attention: #"{"block_size": [2, 3]}"#)
    let visible = try Tensor([true, false, false, true, true, true, false, true], shape: [2, 1, 2, 2])
    builder.tensors["block_mask"] = visible
    let blocks = try #require(try builder.read(in: folder).call.mask.blocks)
    #expect(blocks.queryBlock == 2)
    #expect(blocks.keyBlock == 3)
    #expect(blocks.visible.shape == [2, 1, 2, 2])
    #expect(blocks.visible.floats() == visible.floats())
  }

  @Test func pagedKeys() throws {
    var builder = try CaseBuilder()
    builder.tensors["key"] = try CaseBuilder.zeros([9, 16, 2, 4])
    builder.tensors["value"] = try CaseBuilder.zeros([9, 16, 2, 6])
    builder.tensors["block_table"] = try CaseBuilder.integers([8, 1, 0, -1], shape: [2, 2])
    builder.tensors["key_lengths"] = try CaseBuilder.integers([32, 16])
    let file = try builder.read(in: folder)
    #expect(file.call.blockTable?.shape == [2, 2])
    #expect(file.problem.keyLength == 32)
  }

  @Test(arguments: [ElementType.int32, .int64])
  func packedSequences(type: ElementType) throws {
    var builder = try CaseBuilder(attention: #"{"layout": "thd"}"#)
    builder.tensors = [
      "query": try CaseBuilder.zeros([6, 4, 4]), "key": try CaseBuilder.zeros([7, 2, 4]),
      "value": try CaseBuilder.zeros([7, 2, 4]), "cumulative_query_lengths": try CaseBuilder.integers([0, 0, 6], type),
      "cumulative_key_lengths": try CaseBuilder.integers([0, 3, 7], type),
    ]
    let file = try builder.read(in: folder)
    #expect(file.call.cumulativeQueryLengths == [0, 0, 6])
    #expect(file.call.cumulativeKeyLengths == [0, 3, 7])
    #expect(file.problem.batch == 2)
  }

  @Test(arguments: ["{}", #"{"layout": "bshd"}"#])
  func packedOperands(attention: String) throws {
    var builder = try CaseBuilder(attention: attention)
    builder.tensors = ["qkv": try CaseBuilder.zeros([2, 5, 3, 4, 8])]
    let file = try builder.read(in: folder)
    #expect(file.call.layout == .bshd)
    #expect(file.problem.headDimension == 8)
    #expect(file.problem.keyLength == 5)
  }

  @Test func expectationsAndFacts() throws {
    var builder = try CaseBuilder()
    builder.tensors["expected.output"] = try CaseBuilder.zeros([2, 4, 3, 6], .float64)
    builder.tensors["expected.query_gradient"] = try CaseBuilder.zeros([2, 4, 3, 4])
    builder.metadata["error"] = #"""
      {"lowp": 1e-3, "f32math": 0, "lowp_dq": NaN, "x": Infinity, "lowp_finite": true, "n": null}
      """#
    builder.metadata["group"] = "causal"
    builder.metadata["format"] = "pt"
    let file = try builder.read(in: folder)
    #expect(file.expected.keys.sorted() == ["output", "query_gradient"])
    #expect(file.expected["output"]?.elementType == .float64)
    #expect(file.naiveErrors["lowp"] == 1e-3)
    #expect(file.naiveErrors["f32math"] == 0)
    #expect(file.naiveErrors["lowp_dq"]?.isNaN == true)
    #expect(file.naiveErrors["x"] == .infinity)
    #expect(file.naiveErrors.count == 4)
    #expect(file.naiveFlags == ["lowp_finite": true])
    #expect(file.group == "causal")
  }
}
