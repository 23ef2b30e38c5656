import Attention
import AttentionTestSupport
import Testing

@Suite("Layouts and heads")
struct LayoutTests {
  /// Every head its own keys, some heads sharing them, all heads sharing them.
  static let heads = [(4, 4), (8, 2), (6, 1)]

  static let shapes = ElementType.storageTypes.flatMap { type in
    CallShape.Form.allCases.flatMap { form in
      heads.filter { form != .packed || $0 == $1 }.flatMap { heads, keyHeads in
        [(1, 17, 65), (3, 65, 17), (2, 1, 33), (2, 33, 33)].map { batch, queries, keys in
          CallShape(type, form: form, batch: batch, heads: heads, keyHeads: keyHeads, queries: queries, keys: keys)
        }
      }
    }
  }

  @Test("Layouts × heads", arguments: TestDevice.all, shapes)
  func layouts(device: TestDevice, shape: CallShape) throws {
    var call = try shape.call()
    call.mask = .causal(.lowerRight)
    try check(call, on: device)
  }

  @Test("Value dimension of its own", arguments: TestDevice.all, CallShape.Form.allCases.filter { $0 != .packed })
  func valueDimension(device: TestDevice, form: CallShape.Form) throws {
    try check(CallShape(form: form, batch: 2, heads: 4, keyHeads: 2, D: 24, Dv: 40).call(), on: device)
  }

  @Test("Only what is asked for comes back", arguments: TestDevice.all, [0, 1, 2, 4, 8, 5, 10, 12])
  func outputs(device: TestDevice, outputs: Int) throws {
    try check(CallShape().call(returning: AttentionOutputs(rawValue: outputs)), on: device)
  }
}
