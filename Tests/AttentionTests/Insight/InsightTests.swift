import Attention
import AttentionTestSupport
import Testing

/// The most attended keys and the attention received, without the score matrix as a result.
@Suite("Insight")
struct InsightTests {
  /// A call that asks for both and nothing else.
  static func call(
    _ shape: CallShape, k: Int = 8, _ change: (inout AttentionCall) throws -> Void = { _ in }
  ) throws -> AttentionCall {
    var call = try shape.call(returning: [.topKeys, .received])
    call.topKeyCount = k
    try change(&call)
    return call
  }

  static let lengths = [1, 2, 3, 17, 63, 65, 127, 129, 257]

  @Test("Awkward lengths", arguments: TestDevice.all, lengths)
  func awkward(device: TestDevice, queries: Int) throws {
    for keys in Self.lengths {
      try check(Self.call(CallShape(heads: 2, keyHeads: 1, queries: queries, keys: keys, D: 64)), on: device)
    }
  }

  @Test("Dimensions and types", arguments: TestDevice.all, ElementType.storageTypes)
  func dimensions(device: TestDevice, type: ElementType) throws {
    for D in [7, 64, 80, 128] {
      for mask in [AttentionMask.none, .causal(.lowerRight)] {
        try check(Self.call(CallShape(type, queries: 65, keys: 129, D: D, Dv: 9)) { $0.mask = mask }, on: device)
      }
    }
  }

  @Test("Lists of every length", arguments: TestDevice.all)
  func counts(device: TestDevice) throws {
    for k in AttentionCall.topKeyCounts where [1, 2, 3, 7, 8, 16, 31, 63, 64].contains(k) {
      for keys in [1, 5, 17, 64, 130] {
        try check(
          Self.call(CallShape(queries: 17, keys: keys, D: 16), k: k) { $0.mask = .causal(.lowerRight) }, on: device)
      }
    }
  }

  /// Has the mask say what the scores are: some apart, and each row's somewhere else.
  static func large(_ call: inout AttentionCall) throws {
    let places: [Float] = [0, 50, -1e9, 65, -70, 1e4, -3e38, 1e30]
    var numbers = SeededNumbers(seed: 11)
    let mask = (0..<67).flatMap { row in (0..<131).map { _ in places[row % places.count] + 3 * numbers.normal() } }
    call.scale = 0
    call.mask = .causal(.lowerRight).tensor(try Tensor(mask, shape: [67, 131], as: .float32))
  }

  static let calls: [NamedCall] = {
    let shape = CallShape(batch: 2, heads: 4, keyHeads: 2, queries: 67, keys: 131, D: 24)
    func feature(_ name: String, _ change: @escaping @Sendable (inout AttentionCall) throws -> Void) -> NamedCall {
      NamedCall(name) { try call(shape, k: 5, change) }
    }
    return [
      feature("window") { $0.mask = .window(left: 20, right: 3) },
      feature("window and more queries than keys") { $0.mask = .causal(.upperLeft).window(left: 7).queryOffset(90) },
      feature("key lengths") { $0.keyLengths = [0, 70] },
      feature("boolean mask") { $0.mask = .tensor(try MaskTensorTests.mask([2, 4, 67, 131], .bool)) },
      feature("additive mask") {
        $0.mask = .causal(.lowerRight).tensor(try MaskTensorTests.mask([4, 67, 131], .bfloat16))
      },
      feature("mask of a row") { $0.mask = .tensor(try MaskTensorTests.mask([2, 1, 1, 131], .float16)) },
      feature("softcap, ALiBi, sinks") {
        $0.softcap = 3
        $0.alibiSlopes = [0.5, 0.25, 0.125, 0]
        $0.sinks = [0, 2, -.infinity, -1]
      },
      feature("sinks that are no numbers") { $0.sinks = [.nan, .infinity, 1, -.infinity] },
      feature("scale 0: every key alike") { $0.scale = 0 },
      feature("negative scale") { $0.scale = -1 },
      feature("log-sum-exps of every size") { try large(&$0) },
      feature("log-sum-exps of every size, sinks among them") {
        try large(&$0)
        $0.sinks = [-1e9, 1e4, -300, 0]
      },
      NamedCall("bshd") { try call(CallShape(form: .bshd, batch: 2, heads: 4, keyHeads: 2, queries: 33, keys: 70)) },
      NamedCall("one tensor") { try call(CallShape(form: .packed, batch: 2, queries: 70)) },
      NamedCall("packed, some empty") {
        var call = try PackedTests.call(queries: [17, 0, 65, 4], keys: [30, 7, 65, 0])
        call.mask = .causal(.lowerRight)
        call.returning = [.topKeys, .received]
        return call
      },
      NamedCall("pages") {
        var call = try PagedTests.call()
        call.mask = .causal(.lowerRight)
        call.returning = [.topKeys, .received]
        return call
      },
      NamedCall("past") {
        var call = try call(CallShape(queries: 5, keys: 5, D: 16))
        var numbers = SeededNumbers(seed: 8)
        call.past = (try numbers.tensor([1, 2, 70, 16]), try numbers.tensor([1, 2, 70, 16]))
        call.mask = .causal(.lowerRight)
        return call
      },
      NamedCall("no queries") { try call(CallShape(queries: 0, keys: 5)) },
      NamedCall("no keys") { try call(CallShape(queries: 5, keys: 0)) },
      NamedCall("no batch") { try call(CallShape(batch: 0)) },
    ]
  }()

  @Test("Every feature", arguments: TestDevice.all, calls)
  func features(device: TestDevice, call: NamedCall) throws { try check(call.call(), on: device) }

  @Test("Rows that see no key list none and give nothing", arguments: TestDevice.allAndReference, DeadRowTests.cases)
  func dead(device: TestDevice, dead: DeadRowTests.Dead) throws {
    let call = try Self.call(CallShape(queries: 70, keys: 65, D: 20), k: 3) {
      try dead.apply(&$0)
      $0.sinks = [1, -2]
    }
    let result = try device.engine().attention(call)
    #expect(try Expectation(call, naive: false).misses(result) == [])
    for row in dead.rows {
      #expect((0..<3).map { result.topKeys?.element(0, 1, row, $0) } == [-1, -1, -1])
      #expect((0..<3).map { result.topWeights?.element(0, 1, row, $0) } == [0, 0, 0])
    }
  }

  @Test("Each alone is what it is with everything", arguments: TestDevice.allAndReference)
  func alone(device: TestDevice) throws {
    var call = try CallShape(queries: 70, keys: 130, D: 20).call(
      returning: [.output, .logSumExp, .topKeys, .received])
    call.mask = .causal(.lowerRight)
    let whole = try device.engine().attention(call)
    call.returning = .topKeys
    let top = try device.engine().attention(call)
    #expect(top.topKeys?.bits == whole.topKeys?.bits && top.topWeights?.bits == whole.topWeights?.bits)
    #expect(top.received == nil && top.output == nil && top.logSumExp == nil && top.weights == nil)
    call.returning = .received
    let received = try device.engine().attention(call)
    #expect(received.received?.bits == whole.received?.bits)
    #expect(received.topKeys == nil && received.topWeights == nil)
  }

  @Test("What keys receive is as much as the queries give", arguments: TestDevice.allAndReference)
  func total(device: TestDevice) throws {
    // 5 of the 70 queries see nothing.
    let call = try Self.call(CallShape(queries: 70, keys: 65)) { $0.mask = .causal(.lowerRight) }
    let received = try #require(try device.engine().attention(call).received).doubles()
    for head in 0..<2 { #expect(abs(received[head * 65..<(head + 1) * 65].reduce(0, +) - 65) < 1e-4) }
  }

  @Test("k is 1 to 64", arguments: [-1, 0, 65, .max])
  func invalidCount(k: Int) throws {
    let call = try Self.call(CallShape(), k: k)
    #expect(throws: AttentionError.invalid(argument: "top_k", found: "\(k)", expected: "1 to 64")) {
      try AttentionProblem(call)
    }
  }
}
