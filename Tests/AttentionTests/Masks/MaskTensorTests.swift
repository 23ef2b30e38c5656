import Attention
import AttentionTestSupport
import Testing

/// Boolean and additive masks in every form that broadcasts.
@Suite("Mask tensors")
struct MaskTensorTests {
  static let shape = CallShape(batch: 2, heads: 4, keyHeads: 2, queries: 33, keys: 65)

  /// `[B, Hq, Lq, Lk]` = `[2, 4, 33, 65]`.
  static let forms = [
    [], [1], [65], [1, 1], [33, 1], [1, 65], [33, 65], [1, 1, 1], [4, 1, 1], [4, 33, 1], [4, 1, 65], [1, 33, 65],
    [4, 33, 65], [1, 1, 1, 1], [2, 1, 1, 1], [2, 1, 1, 65], [1, 4, 1, 65], [2, 4, 1, 1], [2, 1, 33, 65], [2, 4, 33, 1],
    [2, 4, 1, 65], [1, 4, 33, 65], [2, 4, 33, 65],
  ]

  static let types: [ElementType] = [.bool, .float32, .float16, .bfloat16]

  /// Two thirds visible, or numbers of which a fifth is −∞.
  static func mask(_ shape: [Int], _ type: ElementType, seed: UInt64 = 7) throws -> Tensor {
    var numbers = SeededNumbers(seed: seed)
    let count = shape.reduce(1, *)
    if type == .bool { return try Tensor((0..<count).map { _ in numbers.next() % 3 != 0 }, shape: shape) }
    return try Tensor(
      (0..<count).map { _ in numbers.next() % 5 == 0 ? -.infinity : numbers.normal() }, shape: shape, as: type)
  }

  @Test("Broadcast forms", arguments: TestDevice.all, typedForms)
  func broadcasts(device: TestDevice, form: Form) throws {
    var call = try Self.shape.call()
    for seed: UInt64 in [7, 8] {
      call.mask = .tensor(try Self.mask(form.shape, form.type, seed: seed))
      try check(call, on: device)
    }
    call.mask = call.mask.causal(.lowerRight)
    try check(call, on: device)
  }

  static let typedForms = types.flatMap { type in forms.map { Form(type: type, shape: $0) } }

  struct Form: Sendable, CustomStringConvertible {
    let type: ElementType
    let shape: [Int]
    var description: String { "\(type.rawValue) \(shape)" }
  }

  @Test("A mask of every type with operands of every type", arguments: TestDevice.all, ElementType.storageTypes)
  func everyType(device: TestDevice, type: ElementType) throws {
    for maskType in Self.types {
      var call = try CallShape(type, form: .bshd, heads: 2, queries: 65, keys: 129).call()
      call.mask = .tensor(try Self.mask([2, 65, 129], maskType))
      try check(call, on: device)
    }
  }

  @Test("A mask over packed sequences starts at each sequence's first row", arguments: TestDevice.all, types)
  func packed(device: TestDevice, type: ElementType) throws {
    var call = try PackedTests.call(queries: [17, 40, 3], keys: [30, 9, 66])
    call.mask = .tensor(try Self.mask([3, 1, 40, 66], type))
    try check(call, on: device)
  }

  /// Regions wide and high enough to hold whole tiles of any kernel:
  ///
  ///             keys   0…529   530…1059   1060…1589
  ///   rows   0…199     mixed    hidden      open
  ///   rows 200…399     hidden    open       mixed
  @Test("Whole tiles that are hidden, open and mixed", arguments: TestDevice.all, types)
  func wholeTiles(device: TestDevice, type: ElementType) throws {
    var numbers = SeededNumbers(seed: 3)
    let regions = [["mixed", "hidden", "open"], ["hidden", "open", "mixed"]]
    let visible = (0..<400 * 1590).map { index in
      switch regions[index / 1590 / 200][index % 1590 / 530] {
      case "open": true
      case "hidden": false
      default: numbers.next() % 2 == 0
      }
    }
    var call = try CallShape(heads: 1, queries: 400, keys: 1590, D: 16).call(returning: [.output, .logSumExp])
    for rows in [400, 1] {
      let shown = visible.suffix(rows * 1590)
      call.mask = .tensor(
        type == .bool
          ? try Tensor(Array(shown), shape: [rows, 1590])
          : try Tensor(shown.map { $0 ? 0.25 : -.infinity }, shape: [rows, 1590], as: type))
      try check(call, on: device)
    }
  }

  @Test("A row and a head that see nothing", arguments: TestDevice.all, [ElementType.bool, .float32])
  func dead(device: TestDevice, type: ElementType) throws {
    var call = try Self.shape.call()
    let visible = (0..<4 * 33 * 65).map { $0 / 65 % 33 != 5 && $0 / (33 * 65) != 2 }
    call.mask = .tensor(
      type == .bool
        ? try Tensor(visible, shape: [4, 33, 65])
        : try Tensor(visible.map { $0 ? 0.25 : -.infinity }, shape: [4, 33, 65]))
    try check(call, on: device)
    let result = try device.attention(call)
    #expect(result.logSumExp?.element(1, 2, 0) == -.infinity)
    #expect(result.logSumExp?.element(1, 1, 5) == -.infinity)
    #expect(result.output?.element(1, 1, 5, 3) == 0)
  }
}
