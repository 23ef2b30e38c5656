/// Makes the calls of the self-check, one after the other from one stream of numbers.
struct CaseBuilder {
  private(set) var cases: [SelfCheck.Case] = []
  private var numbers = SeededNumbers(seed: 20_170_612)

  mutating func add(
    _ name: String, _ type: ElementType, batch: Int = 1, heads: Int = 2, keyHeads: Int = 2, queries: Int = 63,
    keys: Int = 65, width: Int = 64, valueWidth: Int? = nil, scale: Float? = nil, ownValue: Bool = false,
    _ change: (inout AttentionCall) throws -> Void = { _ in }
  ) throws {
    let value = try numbers.tensor([batch, keyHeads, keys, valueWidth ?? width], type)
    var call = AttentionCall(
      query: try numbers.tensor([batch, heads, queries, width], type),
      key: try numbers.tensor([batch, keyHeads, keys, width], type), value: value)
    call.scale = scale
    call.returning = [.output, .logSumExp]
    try change(&call)
    let known =
      ownValue ? value.floats() : scale == 0 ? Self.means(value, queries: queries, groupSize: heads / keyHeads) : nil
    append(name, type, call, known)
  }

  private mutating func append(_ name: String, _ type: ElementType, _ call: AttentionCall, _ known: [Float]? = nil) {
    cases.append(SelfCheck.Case(name: "\(type.rawValue.lowercased()), \(name)", call: call, knownOutput: known))
  }

  /// The mean of a `[B, H, Lk, Dv]` tensor over its keys, for each query of each head.
  private static func means(_ value: Tensor, queries: Int, groupSize: Int) -> [Float] {
    let (keys, width) = (value.shape[2], value.shape[3])
    let elements = value.doubles()
    var means: [Float] = []
    for head in 0..<value.shape[0] * value.shape[1] {
      let mean = (0..<width).map { n in
        Float((0..<keys).reduce(0.0) { $0 + elements[(head * keys + $1) * width + n] } / Double(keys))
      }
      for _ in 0..<queries * groupSize { means += mean }
    }
    return means
  }

  mutating func addMasks(_ type: ElementType) throws {
    let visible = try Tensor((0..<33 * 65).map { $0 % 3 != 0 && $0 / 65 != 7 }, shape: [33, 65])
    try add("boolean mask with a row that sees no key, weights and scores", type, queries: 33, keys: 65) {
      $0.mask = .tensor(visible)
      $0.returning = [.output, .logSumExp, .weights, .scores]
    }
    let bias = try Tensor(
      (0..<2 * 65).map { $0 % 5 == 0 ? -.infinity : numbers.normal() }, shape: [2, 1, 65], as: type)
    try add("additive mask of a row a head, with −∞", type, queries: 33, keys: 65) { $0.mask = .tensor(bias) }
  }

  mutating func addBlocks(_ type: ElementType) throws {
    let grid = try BlockGrid(queryLength: 129, keyLength: 200, queryBlock: 16, keyBlock: 24)
    let blocks = try BlockMask.bigBird(on: grid, window: 1, global: 1, random: 2, seed: 3, heads: 4)
    try add("block mask of a plane a head, causal, grouped heads", type, heads: 4, queries: 129, keys: 200) {
      $0.mask = .blocks(blocks).causal(.lowerRight)
    }
  }

  mutating func addPacked(_ type: ElementType) throws {
    var call = AttentionCall(
      query: try numbers.tensor([84, 2, 32], type), key: try numbers.tensor([101, 1, 32], type),
      value: try numbers.tensor([101, 1, 32], type), layout: .thd)
    call.cumulativeQueryLengths = [0, 17, 17, 82, 84]
    call.cumulativeKeyLengths = [0, 30, 36, 101, 101]
    call.mask = .causal(.lowerRight)
    call.returning = [.output, .logSumExp]
    append("packed sequences, some empty", type, call)
  }

  mutating func addPaged(_ type: ElementType) throws {
    var call = AttentionCall(
      query: try numbers.tensor([2, 4, 3, 64], type), key: try numbers.tensor([9, 16, 2, 64], type),
      value: try numbers.tensor([9, 16, 2, 64], type))
    call.blockTable = try Tensor(shape: [2, 4], elementType: .int32) { bytes in
      // Past the lengths the entries mean nothing.
      for (index, block) in [8, 0, 3, -1, 5, 1, 2, 7].enumerated() {
        bytes.storeBytes(of: Int32(block), toByteOffset: 4 * index, as: Int32.self)
      }
    }
    call.keyLengths = [40, 63]
    call.mask = .causal(.lowerRight)
    call.returning = [.output, .logSumExp]
    append("pages", type, call)
  }

  mutating func addPast(_ type: ElementType) throws {
    let past = (key: try numbers.tensor([1, 2, 30, 64], type), value: try numbers.tensor([1, 2, 30, 64], type))
    try add("past keys", type, queries: 5, keys: 5) {
      $0.past = past
      $0.mask = .causal(.lowerRight)
    }
  }

  mutating func addLayouts(_ type: ElementType) throws {
    var call = AttentionCall(
      query: try numbers.tensor([2, 33, 6, 32], type), key: try numbers.tensor([2, 40, 3, 32], type),
      value: try numbers.tensor([2, 40, 3, 48], type), layout: .bshd)
    call.returning = [.output, .logSumExp]
    append("layout bshd", type, call)
    var packed = AttentionCall(packed: try numbers.tensor([2, 33, 3, 3, 32], type))
    packed.mask = .causal(.upperLeft)
    packed.returning = [.output, .logSumExp]
    append("queries, keys and values in one tensor", type, packed)
  }
}
