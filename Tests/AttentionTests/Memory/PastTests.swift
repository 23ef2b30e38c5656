import Attention
import AttentionTestSupport
import Testing

@Suite("Past keys and values")
struct PastTests {
  static let masks: [(String, AttentionMask)] = [
    ("no mask", .none), ("lower right", .causal(.lowerRight)), ("upper left", .causal(.upperLeft)),
    ("window 6, 2", .window(left: 6, right: 2)),
  ]

  static let calls = [CallShape.Form.bhsd, .bshd, .packed].flatMap { form in
    ElementType.storageTypes.flatMap { type in
      masks.map { name, mask in
        NamedCall("\(form) \(type.rawValue) \(name)") { try call(form, mask, type: type) }
      }
    }
  }

  static func call(
    _ form: CallShape.Form, _ mask: AttentionMask, type: ElementType = .float32, pastLength: Int = 30
  ) throws -> AttentionCall {
    let shape = CallShape(
      type, form: form, batch: 2, heads: 4, keyHeads: form == .packed ? 4 : 2, queries: 7, keys: 7, D: 48,
      Dv: form == .packed ? nil : 40)
    var call = try shape.call()
    var numbers = SeededNumbers(seed: 6)
    call.past = (
      try numbers.tensor([2, shape.keyHeads, pastLength, 48], type),
      try numbers.tensor([2, shape.keyHeads, pastLength, shape.valueDimension ?? 48], type)
    )
    call.mask = mask
    return call
  }

  @Test("Past keys before the call's own", arguments: TestDevice.all, calls)
  func pastAndOwn(device: TestDevice, call: NamedCall) throws {
    try check(call.call(), on: device)
  }

  @Test("Key lengths count past keys", arguments: TestDevice.all, [[0, 37], [30, 12], [33, 1]])
  func keyLengths(device: TestDevice, lengths: [Int]) throws {
    var call = try Self.call(.bshd, .causal(.lowerRight))
    call.keyLengths = lengths
    try check(call, on: device)
  }

  @Test("No past keys is none at all", arguments: TestDevice.allAndReference)
  func empty(device: TestDevice) throws {
    var call = try Self.call(.bhsd, .causal(.lowerRight), pastLength: 0)
    let found = try device.attention(call)
    call.past = nil
    #expect(try device.attention(call).differences(from: found) == [])
  }

  @Test("Past and own keys are the keys one after the other", arguments: TestDevice.allAndReference)
  func joined(device: TestDevice) throws {
    var call = try Self.call(.bhsd, .causal(.lowerRight))
    let found = try device.attention(call)
    func join(_ past: Tensor, _ own: Tensor) throws -> Tensor {
      let heads = past.shape[0] * past.shape[1]
      var rows: [Float] = []
      for head in 0..<heads {
        for tensor in [past, own] {
          let size = tensor.count / heads
          rows += tensor.floats()[head * size..<(head + 1) * size]
        }
      }
      return try Tensor(rows, shape: [past.shape[0], past.shape[1], 37, past.shape[3]])
    }
    let past = try #require(call.past)
    call.operands = .separate(
      query: call.query, key: try join(past.key, call.key), value: try join(past.value, call.value))
    call.past = nil
    #expect(try device.attention(call).differences(from: found) == [])
  }
}
