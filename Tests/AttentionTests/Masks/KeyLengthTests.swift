import Attention
import AttentionTestSupport
import Testing

@Suite("Key lengths and masks that combine")
struct KeyLengthTests {
  static let masks: [(String, AttentionMask)] = [
    ("no mask", .none), ("lower right", .causal(.lowerRight)), ("upper left", .causal(.upperLeft)),
    ("window 20, 2", .window(left: 20, right: 2)), ("causal window 9", .causal(.lowerRight).window(left: 9)),
    ("offset 30", .causal(.lowerRight).queryOffset(30)),
  ]

  static let calls = masks.flatMap { name, mask in
    [CallShape.Form.bhsd, .bshd].map { form in
      NamedCall("\(form) \(name)", CallShape(form: form, batch: 6, heads: 2, keyHeads: 1, queries: 33, keys: 97)) {
        $0.mask = mask
        $0.keyLengths = [0, 1, 33, 64, 97, 20]
      }
    }
  }

  @Test("Lengths of 0, some and all", arguments: TestDevice.all, calls)
  func keyLengths(device: TestDevice, call: NamedCall) throws {
    try check(call.call(), on: device)
  }

  @Test("Lengths within packed sequences", arguments: TestDevice.all)
  func packed(device: TestDevice) throws {
    var call = try PackedTests.call(queries: [17, 40, 3], keys: [30, 9, 66])
    call.keyLengths = [0, 9, 50]
    call.mask = .causal(.lowerRight)
    try check(call, on: device)
  }

  @Test("Everything that hides, at once", arguments: TestDevice.all, ElementType.storageTypes)
  func combined(device: TestDevice, type: ElementType) throws {
    for maskType in MaskTensorTests.types {
      var call = try CallShape(type, batch: 3, heads: 4, keyHeads: 2, queries: 66, keys: 131).call()
      call.keyLengths = [131, 70, 12]
      call.mask = .causal(.lowerRight).window(left: 50)
        .tensor(try MaskTensorTests.mask([3, 1, 66, 131], maskType))
      try check(call, on: device)
    }
  }
}
