import Attention
import AttentionTestSupport
import Testing

@Suite("Paged keys and values")
struct PagedTests {
  /// Three sequences over a pool of nine blocks of 16 keys. The tables are unsorted, the first block of two sequences is
  /// the same, and past the lengths the entries mean nothing.
  static let lengths = [40, 63, 0]
  static let table = [8, 0, 3, -1, 8, 1, 2, 7, 99, -5, .max >> 33, 4]

  static func call(
    _ type: ElementType = .float32, layout: TensorLayout = .bhsd, queries: Int = 5
  ) throws -> AttentionCall {
    var numbers = SeededNumbers(seed: 4)
    let shape =
      switch layout {
      case .bhsd: [3, 4, queries, 48]
      case .bshd: [3, queries, 4, 48]
      case .thd: [queries + 9 + 1, 4, 48]
      }
    var call = AttentionCall(
      query: try numbers.tensor(shape, type), key: try numbers.tensor([9, 16, 2, 48], type),
      value: try numbers.tensor([9, 16, 2, 32], type), layout: layout)
    call.blockTable = try Tensor(integers: table, shape: [3, 4])
    call.keyLengths = lengths
    if layout == .thd { call.cumulativeQueryLengths = [0, queries, queries + 9, queries + 10] }
    call.returning = .all
    return call
  }

  static let masks: [(String, AttentionMask)] = [
    ("no mask", .none), ("lower right", .causal(.lowerRight)), ("window 20", .causal(.lowerRight).window(left: 20)),
  ]

  static let calls = ElementType.storageTypes.flatMap { type in
    TensorLayout.allCases.flatMap { layout in
      masks.map { name, mask in
        NamedCall("\(type.rawValue) \(layout) \(name)") {
          var call = try call(type, layout: layout)
          call.mask = mask
          return call
        }
      }
    }
  }

  @Test("Block tables", arguments: TestDevice.all, calls)
  func blockTables(device: TestDevice, call: NamedCall) throws {
    try check(call.call(), on: device)
  }

  @Test("Cumulative key lengths stand for key lengths", arguments: TestDevice.allAndReference)
  func cumulative(device: TestDevice) throws {
    var call = try Self.call(layout: .thd)
    call.mask = .causal(.lowerRight)
    let expected = try device.attention(call)
    call.keyLengths = nil
    call.cumulativeKeyLengths = PackedTests.cumulative(Self.lengths)
    #expect(try device.attention(call).differences(from: expected) == [])
  }

  @Test("Pages are the keys that they stand for", arguments: TestDevice.allAndReference)
  func dense(device: TestDevice) throws {
    var call = try Self.call()
    call.mask = .causal(.lowerRight)
    let paged = try #require(try device.attention(call).output).floats()
    for (b, length) in Self.lengths.enumerated() where length > 0 {
      func rows(_ pool: Tensor) throws -> Tensor {
        let (size, elements) = (pool.shape[2] * pool.shape[3], pool.floats())
        let rows = (0..<length).flatMap { j in
          let row = Self.table[b * 4 + j / 16] * 16 + j % 16
          return elements[row * size..<(row + 1) * size]
        }
        return try Tensor(rows, shape: [1, length, pool.shape[2], pool.shape[3]])
      }
      var keys = AttentionCall(
        query: try Tensor(Array(call.query.floats()[b * 960..<(b + 1) * 960]), shape: [1, 4, 5, 48]),
        key: try rows(call.key).transposed(), value: try rows(call.value).transposed())
      keys.mask = call.mask
      let expected = try #require(try device.attention(keys).output).floats()
      #expect(Array(paged[b * 640..<(b + 1) * 640]) == expected, "sequence \(b)")
    }
  }

  @Test("One query a sequence, many blocks", arguments: TestDevice.all)
  func decode(device: TestDevice) throws {
    var numbers = SeededNumbers(seed: 5)
    var call = AttentionCall(
      query: try numbers.tensor([2, 8, 1, 64], .float16), key: try numbers.tensor([70, 4, 2, 64], .float16),
      value: try numbers.tensor([70, 4, 2, 64], .float16))
    call.blockTable = try Tensor(integers: (0..<70).map { ($0 * 37 + 11) % 70 }, shape: [2, 35])
    call.keyLengths = [137, 140]
    call.returning = .all
    try check(call, on: device)
  }
}

extension Tensor {
  /// `[1, L, H, D]` as `[1, H, L, D]`.
  fileprivate func transposed() throws -> Tensor {
    let (L, H, D) = (shape[1], shape[2], shape[3])
    let elements = floats()
    var moved: [Float] = []
    for h in 0..<H {
      for l in 0..<L { moved += elements[(l * H + h) * D..<(l * H + h + 1) * D] }
    }
    return try Tensor(moved, shape: [1, H, L, D])
  }
}
