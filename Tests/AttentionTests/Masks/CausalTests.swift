import Attention
import AttentionTestSupport
import Testing

@Suite("Causal masks, offsets and windows")
struct CausalTests {
  static let lengths = [(5, 5), (2, 5), (5, 2), (63, 129), (129, 63), (65, 65), (1, 257), (257, 1), (200, 130)]

  static let causalCalls = ElementType.storageTypes.flatMap { type in
    AttentionMask.CausalAlignment.allCases.flatMap { alignment in
      lengths.map { queries, keys in
        NamedCall("\(type.rawValue) \(alignment) \(queries)×\(keys)", CallShape(type, queries: queries, keys: keys)) {
          $0.mask = .causal(alignment)
        }
      }
    }
  }

  @Test("Both alignments", arguments: TestDevice.all, causalCalls)
  func alignments(device: TestDevice, call: NamedCall) throws {
    try check(call.call(), on: device)
  }

  static let bases: [(String, AttentionMask)] = [
    ("upper left", .causal(.upperLeft)), ("lower right", .causal(.lowerRight)), ("window", .window(left: 16, right: 3)),
    ("causal window", .causal(.lowerRight).window(left: 16)), ("no mask", .none),
  ]

  static let offsetCalls = bases.flatMap { name, mask in
    [-200, -40, -3, 0, 7, 64, 100, 1000, -(1 << 30) + 1, (1 << 30) - 1].map { offset in
      NamedCall("\(name), offset \(offset)", CallShape(queries: 70, keys: 99)) {
        $0.mask = mask.queryOffset(offset)
      }
    }
  }

  @Test("Explicit offsets", arguments: TestDevice.all, offsetCalls)
  func explicitOffsets(device: TestDevice, call: NamedCall) throws {
    try check(call.call(), on: device)
  }

  static let windowed: [(String, AttentionMask)] = [
    ("", .none), ("upper left ", .causal(.upperLeft)), ("lower right ", .causal(.lowerRight)),
  ]

  static let windows: [(Int?, Int?)] = [
    (nil, 0), (0, nil), (0, 0), (3, nil), (nil, 5), (16, 3), (64, 0), (0, 64), (1000, 1000), (.max, .max),
  ]

  static let windowCalls = windowed.flatMap { name, mask in
    windows.flatMap { left, right in
      [(65, 65), (33, 129), (129, 33)].map { queries, keys in
        let sides = [left, right].map { $0.map(String.init) ?? "open" }.joined(separator: ", ")
        return NamedCall("\(name)window \(sides), \(queries)×\(keys)", CallShape(queries: queries, keys: keys)) {
          $0.mask = mask.window(left: left, right: right)
        }
      }
    }
  }

  @Test("Windows", arguments: TestDevice.all, windowCalls)
  func windowSides(device: TestDevice, call: NamedCall) throws {
    try check(call.call(), on: device)
  }
}
