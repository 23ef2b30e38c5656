import Attention
import AttentionTestSupport
import Testing

/// Calls that do not fit together: the error names the argument, and says what was found and what was expected.
@Suite("Validation")
struct ValidationTests {
  struct Invalid: Sendable, CustomStringConvertible {
    let argument: String
    let found: String
    let make: @Sendable () throws -> AttentionCall
    var description: String { "\(argument), \(found)" }

    init(_ argument: String, _ found: String, _ make: @escaping @Sendable () throws -> AttentionCall) {
      self.argument = argument
      self.found = found
      self.make = make
    }

    /// A change to a call that is well.
    init(
      _ argument: String, _ found: String, of shape: CallShape = CallShape(batch: 2, heads: 4, keyHeads: 2),
      _ change: @escaping @Sendable (inout AttentionCall) throws -> Void
    ) {
      self.init(argument, found) {
        var call = try shape.call()
        _ = try AttentionProblem(call)
        try change(&call)
        return call
      }
    }
  }

  static func zeros(_ shape: [Int], _ type: ElementType = .float32) throws -> Tensor {
    try Tensor(zeros: shape, elementType: type)
  }

  static func blocks(_ shape: [Int], _ queryBlock: Int = 16, _ keyBlock: Int = 16) throws -> BlockMask {
    BlockMask(queryBlock: queryBlock, keyBlock: keyBlock, visible: try zeros(shape, .bool))
  }

  static func separate(
    _ query: [Int], _ key: [Int], _ value: [Int], _ layout: TensorLayout = .bhsd, type: ElementType = .float32
  ) throws -> AttentionCall {
    AttentionCall(
      query: try zeros(query, type), key: try zeros(key, type), value: try zeros(value, type), layout: layout)
  }

  static let shapes = [
    Invalid("query", "shape [5, 8]") { try separate([5, 8], [1, 1, 5, 8], [1, 1, 5, 8]) },
    Invalid("query", "shape [1, 1, 5, 8]") { try separate([1, 1, 5, 8], [5, 1, 8], [5, 1, 8], .thd) },
    Invalid("key", "shape [1, 5, 8]") { try separate([1, 1, 5, 8], [1, 5, 8], [1, 1, 5, 8]) },
    Invalid("key", "shape [1, 1, 5, 7]") { try separate([1, 1, 5, 8], [1, 1, 5, 7], [1, 1, 5, 8]) },
    Invalid("key", "shape [2, 1, 5, 8]") { try separate([1, 1, 5, 8], [2, 1, 5, 8], [2, 1, 5, 8]) },
    Invalid("value", "shape [1, 1, 8]") { try separate([1, 1, 5, 8], [1, 1, 5, 8], [1, 1, 8]) },
    Invalid("value", "shape [1, 1, 6, 8]") { try separate([1, 1, 5, 8], [1, 1, 5, 8], [1, 1, 6, 8]) },
    Invalid("value", "shape [1, 2, 5, 8]") { try separate([1, 2, 5, 8], [1, 1, 5, 8], [1, 2, 5, 8]) },
    Invalid("value", "shape [1, 5, 2, 8]") { try separate([1, 5, 2, 8], [1, 5, 1, 8], [1, 5, 2, 8], .bshd) },
    Invalid("key", "3 key/value heads") { try separate([1, 4, 5, 8], [1, 3, 5, 8], [1, 3, 5, 8]) },
    Invalid("key", "8 key/value heads") { try separate([1, 4, 5, 8], [1, 8, 5, 8], [1, 8, 5, 8]) },
    Invalid("key", "0 key/value heads") { try separate([1, 4, 5, 8], [1, 0, 5, 8], [1, 0, 5, 8]) },
    Invalid("head dimension", "D = 0") { try separate([1, 1, 5, 0], [1, 1, 5, 0], [1, 1, 5, 8]) },
    Invalid("head dimension", "Dv = 0") { try separate([1, 1, 5, 8], [1, 1, 5, 8], [1, 1, 5, 0]) },
    Invalid("query", "F64") { try separate([1, 1, 5, 8], [1, 1, 5, 8], [1, 1, 5, 8], type: .float64) },
    Invalid("query", "I32") { try separate([1, 1, 5, 8], [1, 1, 5, 8], [1, 1, 5, 8], type: .int32) },
    Invalid("key", "F16") {
      AttentionCall(
        query: try zeros([1, 1, 5, 8]), key: try zeros([1, 1, 5, 8], .float16), value: try zeros([1, 1, 5, 8]))
    },
    Invalid("value", "BF16") {
      AttentionCall(
        query: try zeros([1, 1, 5, 8]), key: try zeros([1, 1, 5, 8]), value: try zeros([1, 1, 5, 8], .bfloat16))
    },
    Invalid("qkv", "shape [1, 5, 2, 1, 8]") { AttentionCall(packed: try zeros([1, 5, 2, 1, 8])) },
    Invalid("qkv", "shape [1, 5, 3, 8]") { AttentionCall(packed: try zeros([1, 5, 3, 8])) },
    Invalid("layout", "bhsd") {
      var call = AttentionCall(packed: try zeros([1, 5, 3, 1, 8]))
      call.layout = .bhsd
      return call
    },
    Invalid("shape", "1073741824") { try separate([0, 1, 1 << 30, 8], [0, 1, 5, 8], [0, 1, 5, 8]) },
    Invalid("shape", "1073741824") { try separate([0, 1, 5, 8], [0, 1, 1 << 30, 8], [0, 1, 1 << 30, 8]) },
    Invalid("query", "batch 1048577") {
      try separate([(1 << 20) + 1, 1, 0, 8], [(1 << 20) + 1, 1, 0, 8], [(1 << 20) + 1, 1, 0, 8])
    },
    Invalid("query", "batch 2048 of 524288 heads") {
      try separate([2048, 1 << 19, 0, 1], [2048, 1 << 19, 0, 1], [2048, 1 << 19, 0, 1])
    },
  ]

  static let options = [
    Invalid("scale", "inf") { $0.scale = .infinity }, Invalid("scale", "nan") { $0.scale = .nan },
    Invalid("softcap", "0.0") { $0.softcap = 0 }, Invalid("softcap", "-1.0") { $0.softcap = -1 },
    Invalid("softcap", "nan") { $0.softcap = .nan }, Invalid("softcap", "inf") { $0.softcap = .infinity },
    Invalid("alibi_slopes", "[2]") { $0.alibiSlopes = [1, 2] }, Invalid("sinks", "[5]") { $0.sinks = [1, 2, 3, 4, 5] },
    Invalid("window left", "-1") { $0.mask = .window(left: -1) },
    Invalid("window right", "-2") { $0.mask = .causal(.upperLeft).window(left: 3, right: -2) },
    Invalid("query_offset", "1073741824") { $0.mask = AttentionMask.none.queryOffset(1 << 30) },
    Invalid("query_offset", "-1073741824") { $0.mask = AttentionMask.none.queryOffset(-(1 << 30)) },
    Invalid("query_offset", "\(Int.min)") { $0.mask = AttentionMask.none.queryOffset(.min) },
    Invalid("mask", "F64") { $0.mask = .tensor(try zeros([65], .float64)) },
    Invalid("mask", "I32") { $0.mask = .tensor(try zeros([65], .int32)) },
    Invalid("mask", "shape [64]") { $0.mask = .tensor(try zeros([64])) },
    Invalid("mask", "shape [65, 33]") { $0.mask = .tensor(try zeros([65, 33])) },
    Invalid("mask", "shape [3, 1, 1]") { $0.mask = .tensor(try zeros([3, 1, 1], .bool)) },
    Invalid("mask", "shape [2, 2, 33, 65]") { $0.mask = .tensor(try zeros([2, 2, 33, 65])) },
    Invalid("mask", "shape [1, 1, 1, 1, 65]") { $0.mask = .tensor(try zeros([1, 1, 1, 1, 65])) },
    Invalid("mask", "shape [0]") { $0.mask = .tensor(try zeros([0])) },
    Invalid("block_mask", "F32") {
      $0.mask = .blocks(BlockMask(queryBlock: 16, keyBlock: 16, visible: try zeros([3, 5])))
    },
    Invalid("block_mask", "shape [3, 4]") { $0.mask = .blocks(try blocks([3, 4])) },
    Invalid("block_mask", "shape [2, 3, 5]") { $0.mask = .blocks(try blocks([2, 3, 5])) },
    Invalid("block_mask", "shape [1, 1, 1, 3, 5]") { $0.mask = .blocks(try blocks([1, 1, 1, 3, 5])) },
    Invalid("block_size", "[0, 16]") { $0.mask = .blocks(try blocks([1], 0, 16)) },
    Invalid("block_size", "[16, -1]") { $0.mask = .blocks(try blocks([1], 16, -1)) },
    Invalid("block_size", "[16, 1073741824]") { $0.mask = .blocks(try blocks([1], 16, 1 << 30)) },
    Invalid("key_lengths", "[1]") { $0.keyLengths = [5] },
    Invalid("key_lengths[1]", "66") { $0.keyLengths = [65, 66] },
    Invalid("key_lengths[0]", "-1") { $0.keyLengths = [-1, 0] },
  ]

  static let packedShape = CallShape(form: .thd, batch: 2, heads: 2, queries: 5, keys: 9)

  static let packed = [
    Invalid("cumulative_query_lengths", "none", of: packedShape) { $0.cumulativeQueryLengths = nil },
    Invalid("cumulative_key_lengths", "none", of: packedShape) { $0.cumulativeKeyLengths = nil },
    Invalid("cumulative_key_lengths", "[2]", of: packedShape) { $0.cumulativeKeyLengths = [0, 18] },
    Invalid("cumulative_query_lengths", "[1, 5, 10]", of: packedShape) { $0.cumulativeQueryLengths = [1, 5, 10] },
    Invalid("cumulative_query_lengths", "[0, 5, 9]", of: packedShape) { $0.cumulativeQueryLengths = [0, 5, 9] },
    Invalid("cumulative_query_lengths", "[0, 12, 10]", of: packedShape) { $0.cumulativeQueryLengths = [0, 12, 10] },
    Invalid("cumulative_query_lengths", "[0]", of: packedShape) { $0.cumulativeQueryLengths = [] },
    Invalid("cumulative_key_lengths", "[0, -1, 18]", of: packedShape) { $0.cumulativeKeyLengths = [0, -1, 18] },
    Invalid("cumulative_query_lengths", "layout bhsd") { $0.cumulativeQueryLengths = [0, 33, 66] },
    Invalid("cumulative_key_lengths", "layout bhsd") { $0.cumulativeKeyLengths = [0, 65, 130] },
    Invalid("key_lengths[0]", "10", of: packedShape) { $0.keyLengths = [10, 0] },
    Invalid("past_key", "layout thd", of: packedShape) {
      $0.past = (try zeros([2, 2, 3, 32]), try zeros([2, 2, 3, 32]))
    },
  ]

  static let past = [
    Invalid("past_key", "shape [2, 3, 32]") { $0.past = (try zeros([2, 3, 32]), try zeros([2, 2, 3, 32])) },
    Invalid("past_key", "shape [2, 4, 3, 32]") { $0.past = (try zeros([2, 4, 3, 32]), try zeros([2, 4, 3, 32])) },
    Invalid("past_key", "shape [1, 2, 3, 32]") { $0.past = (try zeros([1, 2, 3, 32]), try zeros([1, 2, 3, 32])) },
    Invalid("past_key", "shape [2, 2, 3, 31]") { $0.past = (try zeros([2, 2, 3, 31]), try zeros([2, 2, 3, 32])) },
    Invalid("past_value", "shape [2, 2, 4, 32]") { $0.past = (try zeros([2, 2, 3, 32]), try zeros([2, 2, 4, 32])) },
    Invalid("past_key", "F16") { $0.past = (try zeros([2, 2, 3, 32], .float16), try zeros([2, 2, 3, 32])) },
    Invalid("past_value", "BF16") { $0.past = (try zeros([2, 2, 3, 32]), try zeros([2, 2, 3, 32], .bfloat16)) },
    Invalid("shape", "1073741829") {
      var call = try separate([0, 1, 5, 8], [0, 1, 5, 8], [0, 1, 5, 8])
      call.past = (try zeros([0, 1, 1 << 30, 8]), try zeros([0, 1, 1 << 30, 8]))
      return call
    },
  ]

  static func paged(_ change: (inout AttentionCall) throws -> Void) throws -> AttentionCall {
    var call = try PagedTests.call()
    _ = try AttentionProblem(call)
    try change(&call)
    return call
  }

  static let pages = [
    Invalid("block_table", "I64 [3, 4]") {
      try paged { $0.blockTable = try Tensor(integers: Array(repeating: 0, count: 12), shape: [3, 4], as: .int64) }
    },
    Invalid("block_table", "I32 [12]") { try paged { $0.blockTable = try zeros([12], .int32) } },
    Invalid("block_table", "I32 [4, 3]") { try paged { $0.blockTable = try zeros([4, 3], .int32) } },
    Invalid("block_table[1, 3]", "9") {
      try paged { $0.blockTable = try Tensor(integers: [8, 0, 3, -1, 8, 1, 2, 9, 0, 0, 0, 0], shape: [3, 4]) }
    },
    Invalid("block_table[0, 1]", "-1") {
      try paged { $0.blockTable = try Tensor(integers: [8, -1, 3, 0, 8, 1, 2, 3, 0, 0, 0, 0], shape: [3, 4]) }
    },
    Invalid("key_lengths[1]", "65") { try paged { $0.keyLengths = [40, 65, 0] } },
    Invalid("key", "shape [9, 0, 2, 48]") {
      try paged {
        $0.operands = .separate(query: $0.query, key: try zeros([9, 0, 2, 48]), value: try zeros([9, 0, 2, 32]))
      }
    },
    Invalid("value", "shape [9, 8, 2, 32]") {
      try paged { $0.operands = .separate(query: $0.query, key: $0.key, value: try zeros([9, 8, 2, 32])) }
    },
    Invalid("key", "shape [9, 16, 2, 47]") {
      try paged { $0.operands = .separate(query: $0.query, key: try zeros([9, 16, 2, 47]), value: $0.value) }
    },
    Invalid("past_key", "a block table") {
      try paged { $0.past = (try zeros([3, 2, 3, 48]), try zeros([3, 2, 3, 32])) }
    },
    Invalid("block_table", "qkv beside it") {
      var call = AttentionCall(packed: try zeros([1, 5, 3, 1, 8]))
      call.blockTable = try zeros([1, 1], .int32)
      return call
    },
  ]

  @Test("The argument and what it was", arguments: shapes + options + packed + past + pages)
  func invalid(invalid: Invalid) throws {
    let call = try invalid.make()
    let error = #expect(throws: AttentionError.self) { try AttentionProblem(call) }
    guard case .invalid(let argument, let found, let expected) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(argument == invalid.argument)
    #expect(found.contains(invalid.found))
    #expect(!expected.isEmpty)
    let text = try #require(error).description
    #expect(text.hasPrefix("\(argument): expected ") && text.contains(found))
  }

  @Test("Engines refuse them too", arguments: TestDevice.allAndReference)
  func engines(device: TestDevice) throws {
    let call = try #require(Self.options.first).make()
    let engine = try device.engine()
    #expect(throws: AttentionError.self) { try engine.attention(call) }
  }

  @Test(
    "Problems without data",
    arguments: [
      (0, 0, "key"), (3, 2, "key"), (1 << 30, 1, "shape"), (-1, 1, "shape"),
    ])
  func plainProblems(heads: Int, keyHeads: Int, argument: String) {
    let error = #expect(throws: AttentionError.self) {
      try AttentionProblem(
        batch: 1, queryHeads: heads, keyValueHeads: keyHeads, queryLength: 5, keyLength: 5, headDimension: 8,
        valueDimension: 8, elementType: .float32)
    }
    #expect(error.map { "\($0)" }?.hasPrefix("\(argument): ") == true)
  }

  @Test("A score matrix past the address space")
  func overflow() {
    let length = (1 << 30) - 1
    let error = #expect(throws: AttentionError.self) {
      try AttentionProblem(
        batch: 16, queryHeads: 16, keyValueHeads: 16, queryLength: length, keyLength: length, headDimension: 8,
        valueDimension: 8, elementType: .float32)
    }
    #expect(error.map { "\($0)" }?.hasPrefix("shape: ") == true)
  }
}
