import Attention

/// What the README's examples take as given; Scripts/check-readme adds the examples as an extension.
struct Snippets {
  let queries = Snippets.numbers(1 * 8 * 100 * 64, seed: 1)
  let keys = Snippets.numbers(1 * 8 * 120 * 64, seed: 2)
  let values = Snippets.numbers(1 * 8 * 120 * 64, seed: 3)
  let engine: AttentionEngine
  let q: Tensor
  let k: Tensor
  let v: Tensor

  init() throws {
    engine = try AttentionEngine()
    q = try Tensor(queries, shape: [1, 8, 100, 64])
    k = try Tensor(keys, shape: [1, 8, 120, 64])
    v = try Tensor(values, shape: [1, 8, 120, 64])
  }

  /// A tensor of numbers from −1 to 1.
  func random(_ shape: [Int], as elementType: ElementType = .float32) throws -> Tensor {
    try Tensor(Self.numbers(shape.reduce(1, *), seed: 4), shape: shape, as: elementType)
  }

  private static func numbers(_ count: Int, seed: UInt32) -> [Float] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      return Float(Int32(bitPattern: state)) / Float(Int32.max)
    }
  }

  /// Throws where `found` does not print as `expected`.
  func check(_ found: Any, is expected: String, line: Int = #line) throws {
    guard "\(found)" == expected else { throw Wrong(line: line, found: "\(found)", expected: expected) }
  }
}

struct Wrong: Error, CustomStringConvertible {
  let line: Int
  let found: String
  let expected: String

  var description: String { "line \(line): expected \(expected), found \(found)" }
}
