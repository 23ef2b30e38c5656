import Attention
import AttentionTestSupport
import Testing

/// Lengths about the edges of tiles and of the softmax's chunks.
@Suite("Lengths")
struct LengthTests {
  static let lengths = [
    (1, 1), (1, 2), (1, 63), (1, 257), (1, 1000), (2, 3), (3, 17), (17, 65), (63, 63), (65, 127), (127, 129), (129, 2),
    (257, 17), (257, 257), (1000, 1), (1000, 129), (129, 1000), (1000, 1000),
  ].map { Lengths(queries: $0.0, keys: $0.1) }

  /// About the 4,096 keys of a chunk.
  static let chunkLengths = [(1, 4095), (2, 4096), (1, 4097), (3, 5000), (1, 8192), (17, 8193)]
    .map { Lengths(queries: $0.0, keys: $0.1) }

  struct Lengths: Sendable, CustomStringConvertible {
    let queries: Int
    let keys: Int
    var description: String { "\(queries)×\(keys)" }
  }

  static let shapes = ElementType.storageTypes.flatMap { type in
    lengths.map { CallShape(type, queries: $0.queries, keys: $0.keys, D: 64) }
  }

  @Test("Queries and keys", arguments: TestDevice.all, shapes)
  func queriesAndKeys(device: TestDevice, shape: CallShape) throws {
    try check(shape.call(returning: [.output, .logSumExp]), on: device)
  }

  @Test("Rows of one chunk and more", arguments: TestDevice.all, chunkLengths)
  func rowsOfChunks(device: TestDevice, lengths: Lengths) throws {
    var call = try CallShape(queries: lengths.queries, keys: lengths.keys, D: 16).call()
    try check(call, on: device)
    call.mask = .causal(.lowerRight)
    try check(call, on: device)
  }

  @Test("No keys: zeros and −∞", arguments: TestDevice.allAndReference)
  func noKeys(device: TestDevice) throws {
    let call = try CallShape(queries: 5, keys: 0).call()
    let result = try device.attention(call)
    #expect(result.output?.floats() == Array(repeating: 0, count: 2 * 5 * 32))
    #expect(result.logSumExp?.floats() == Array(repeating: -.infinity, count: 2 * 5))
    #expect(result.weights?.shape == [1, 2, 5, 0])
  }

  @Test(
    "Nothing to compute: empty results", arguments: TestDevice.allAndReference,
    [CallShape(queries: 0, keys: 5), CallShape(batch: 0)])
  func empty(device: TestDevice, shape: CallShape) throws {
    let result = try device.attention(shape.call())
    #expect(result.output?.shape == [shape.batch, 2, shape.queries, 32])
    #expect(result.logSumExp?.shape == [shape.batch, 2, shape.queries])
  }
}
