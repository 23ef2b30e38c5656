import Attention
import AttentionTestSupport
import Testing

@Suite("Scale, softcap, ALiBi and sinks")
struct ModifierTests {
  static let shape = CallShape(batch: 2, heads: 4, keyHeads: 2, queries: 33, keys: 65)

  static func calls(_ type: ElementType) -> [NamedCall] {
    var shape = shape
    shape.type = type
    func named(_ name: String, _ change: @escaping @Sendable (inout AttentionCall) throws -> Void) -> NamedCall {
      NamedCall("\(type.rawValue) \(name)", shape, change)
    }
    return scales.map { scale in named("scale \(scale)") { $0.scale = scale } }
      + ([0.5, 5, 50] as [Float]).map { softcap in named("softcap \(softcap)") { $0.softcap = softcap } }
      + alibi.map { name, mask in
        named("ALiBi, \(name)") {
          $0.alibiSlopes = [0.5, 0.25, 0, -0.125]
          $0.mask = mask
        }
      }
      + sinks.map { sinks in named("sinks \(sinks)") { $0.sinks = sinks } }
  }

  static let scales: [Float] = [0, -0.5, 1e-3, 1]

  static let alibi: [(String, AttentionMask)] = [
    ("no mask", .none), ("lower right", .causal(.lowerRight)), ("upper left", .causal(.upperLeft)),
    ("offset −7", AttentionMask.none.queryOffset(-7)), ("offset 90", .causal(.lowerRight).queryOffset(90)),
  ]

  static let sinks: [[Float]] = [
    [1, -2, 0, 0.5], [-.infinity, 0, -.infinity, 1], [80, -80, 20, -20], [3e4, -3e4, 1e30, -1e30],
  ]

  @Test("One at a time", arguments: TestDevice.all, ElementType.storageTypes.flatMap(calls))
  func single(device: TestDevice, call: NamedCall) throws {
    try check(call.call(), on: device)
  }

  /// Scores that large cancel: what is left of the small ones has no relative precision.
  @Test("A large scale", arguments: TestDevice.all, ElementType.storageTypes)
  func largeScale(device: TestDevice, type: ElementType) throws {
    var call = try CallShape(type, queries: 33, keys: 65, D: 16).call(returning: [.output, .logSumExp])
    for scale: Float in [30, -30] {
      call.scale = scale
      try check(call, on: device)
    }
  }

  /// The difference between a score and the largest has to be 0 for the largest: a rounding's worth of 10³⁰ is more than any
  /// exponential can take.
  @Test("Scores of any size: the largest takes all", arguments: TestDevice.allAndReference, ElementType.storageTypes)
  func oneKey(device: TestDevice, type: ElementType) throws {
    var call = try CallShape(type, heads: 1, queries: 33, keys: 300, D: 16, Dv: 8).call(returning: [
      .output, .logSumExp,
    ])
    let query = call.query.doubles()
    let key = call.key.doubles()
    let value = call.value.doubles()
    for scale: Float in [1e4, 1e6, 1e9, 1e12, 1e30] {
      call.scale = scale
      let output = try #require(try device.attention(call).output).doubles()
      for i in 0..<33 {
        let products = (0..<300).map { j in (0..<16).reduce(0.0) { $0 + query[i * 16 + $1] * key[j * 16 + $1] } }
        let order = products.indices.sorted { products[$0] > products[$1] }
        // (Two that are close are both right.)
        guard products[order[0]] - products[order[1]] > 0.01 else { continue }
        let wanted = value[order[0] * 8..<order[0] * 8 + 8]
        #expect(output[i * 8..<i * 8 + 8].elementsEqual(wanted), "scale \(scale), query \(i)")
      }
    }
  }

  @Test("Scale 0: the mean of the values", arguments: TestDevice.allAndReference)
  func mean(device: TestDevice) throws {
    var call = try CallShape(heads: 1, queries: 2, keys: 65, D: 3).call()
    call.scale = 0
    let result = try device.attention(call)
    let values = call.value.doubles()
    let means = (0..<3).map { n in (0..<65).reduce(0.0) { $0 + values[$1 * 3 + n] } / 65 }
    let output = try #require(result.output)
    #expect(mismatch("output", output.doubles(), means + means, shape: output.shape, Bound(1e-6)) == nil)
  }

  @Test("All of them together", arguments: TestDevice.all, ElementType.storageTypes)
  func together(device: TestDevice, type: ElementType) throws {
    for form in CallShape.Form.allCases {
      var call = try CallShape(
        type, form: form, batch: 2, heads: 4, keyHeads: form == .packed ? 4 : 2, queries: 65, keys: 130
      ).call()
      call.scale = -0.3
      call.softcap = 4
      call.alibiSlopes = [0.5, 0.25, 0.125, 0.0625]
      call.sinks = [1, -1, 0, -.infinity]
      call.mask = .causal(.lowerRight).window(left: 100).tensor(try MaskTensorTests.mask([2, 4, 65, 1], .float32))
      if form != .thd { call.keyLengths = [form == .packed ? 65 : 130, 40] }
      try check(call, on: device)
    }
  }
}
