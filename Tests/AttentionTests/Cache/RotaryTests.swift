import Attention
import AttentionTestSupport
import Foundation
import TensorFiles
import Testing

@Suite("Rotary embedding")
struct RotaryTests {
  static let devices = KVCacheTests.devices
  static let cases = [
    "", "_3d_input", "_interleaved", "_no_position_ids", "_no_position_ids_interleaved", "_no_position_ids_rotary_dim",
    "_with_interleaved_rotary_dim", "_with_rotary_dim",
  ].map { "test_rotary_embedding\($0)" }

  @Test("ONNX RotaryEmbedding", arguments: devices, cases)
  func onnx(device: TestDevice, name: String) throws {
    struct Description: Decodable {
      struct Attributes: Decodable {
        var interleaved: Int?
        var heads: Int?

        enum CodingKeys: String, CodingKey {
          case interleaved
          case heads = "num_heads"
        }
      }
      let attributes: Attributes
      let rtol: Double
      let atol: Double
    }
    let path = try #require(Bundle.module.path(forResource: "Fixtures/rotary/\(name)", ofType: "safetensors"))
    let file = try Safetensors(path: path)
    let description = try JSONDecoder().decode(Description.self, from: Data(try #require(file.metadata["case"]).utf8))
    var input = try file.tensor("in.X")
    let expected = try file.tensor("out.Y")
    // Three dimensions are [B, L, H · D].
    let layout = input.shape.count == 3 ? TensorLayout.bshd : .bhsd
    if let heads = description.attributes.heads {
      input = try input.reshaped([input.shape[0], input.shape[1], heads, input.shape[2] / heads])
    }
    let tables = try RotaryTables(
      cosines: try file.tensor("in.cos_cache"), sines: try file.tensor("in.sin_cache"),
      style: description.attributes.interleaved == 1 ? .interleaved : .halfRotated)
    let positions = try file["in.position_ids"].map { entry in
      let places = try file.tensor("in.position_ids").integers()
      return (0..<entry.shape[0]).map { b in Array(places[b * entry.shape[1]..<(b + 1) * entry.shape[1]]) }
    }
    let found = try device.engine().rotaryEmbedding(input, tables, positions: positions, layout: layout)
    let largest = expected.floats().map(abs).max() ?? 0
    let bound = Bound(description.atol + description.rtol * 1e-2 * Double(largest))
    #expect(mismatch(name, try found.reshaped(expected.shape), expected, bound) == nil)
  }

  /// Numbers of other implementations: the frequencies of Llama 3's base, and YaRN as transformers 4 computes it for
  /// dimension 8, base 10000, factor 4, original length 32.
  @Test("Scaled frequencies")
  func frequencies() {
    func agree(_ found: [Double], _ expected: [Double]) -> Bool {
      found.count == expected.count && zip(found, expected).allSatisfy { abs($0 - $1) <= 1e-6 * abs($1) }
    }
    let plain = RotaryEmbedding(dimensions: 8)
    #expect(agree(plain.frequencies, [1, 0.1, 0.01, 0.001]))
    var scaled = plain
    scaled.scaling = .linear(factor: 4)
    #expect(agree(scaled.frequencies, [0.25, 0.025, 0.0025, 0.00025]))
    scaled.scaling = .ntk(factor: 8)
    // 8^(8/6) = 16: a base of 160000, whose fourth root is 20.
    #expect(agree(scaled.frequencies, [1, 0.05, 0.0025, 0.000125]))
    scaled.scaling = .yarn(factor: 4, originalLength: 32)
    // Pairs that turn 32 times and once in 32 positions: −0.796… → 0, and 0.707… → 1: pair 0 stays, the others are divided.
    #expect(agree(scaled.frequencies, [1, 0.025, 0.0025, 0.00025]))
    let magnitude: Double = 1.138629436111989  // 0.1 · ln 4 + 1
    #expect(abs(scaled.magnitude - magnitude) < 1e-12)
  }

  @Test(
    "A cache rotates keys and queries to their positions", arguments: devices,
    [RotaryEmbedding.Style.halfRotated, .interleaved])
  func cache(device: TestDevice, style: RotaryEmbedding.Style) throws {
    let engine = try device.engine()
    var options = KVCache.Options()
    options.blockLength = 16
    options.rotary = RotaryEmbedding(dimensions: 24, base: 500, style: style)
    let rotary = try RotaryTables(try #require(options.rotary), positions: 64)
    let cache = try engine.makeKVCache(heads: 2, headDimension: 32, options: options)
    var numbers = SeededNumbers(seed: 3)
    let key = try numbers.tensor([1, 2, 40, 32], .float32)
    let value = try numbers.tensor([1, 2, 40, 32], .float32)
    let query = try numbers.tensor([1, 4, 3, 32], .float32)
    try cache.append(key: key, value: value)
    let found = try engine.scaledDotProductAttention(query: query, cache: cache)
    let reference = try TestDevice.reference.engine()
    let expected = try reference.scaledDotProductAttention(
      query: reference.rotaryEmbedding(query, rotary, positions: [[37, 38, 39]]),
      key: reference.rotaryEmbedding(key, rotary), value: value, mask: .causal(.lowerRight))
    #expect(mismatch("output", found, expected, Bound(1e-5)) == nil)

    // Positions that are given: all keys and queries moved by as much is the same, of the queries alone is not.
    let moved = try engine.makeKVCache(heads: 2, headDimension: 32, options: options)
    try moved.append(key: key, value: value, positions: [Array(20..<60)])
    var asked = CacheAttentionOptions()
    asked.positions = [[57, 58, 59]]
    #expect(
      mismatch("moved", try engine.attention(query: query, cache: moved, asked).output, expected, Bound(2e-5)) == nil)
    asked.positions = [[37, 38, 39]]
    #expect(
      mismatch("apart", try engine.attention(query: query, cache: moved, asked).output, expected, Bound(1e-3)) != nil)
  }

  @Test("What cannot be rotated")
  func errors() throws {
    #expect(throws: AttentionError.self) { try RotaryEmbedding(dimensions: 7).check(width: 8) }
    #expect(throws: AttentionError.self) { try RotaryEmbedding(dimensions: 10).check(width: 8) }
    #expect(throws: AttentionError.self) { try RotaryEmbedding(dimensions: 8, base: .nan).check(width: 8) }
    #expect(throws: AttentionError.self) {
      try RotaryEmbedding(dimensions: 8, scaling: .linear(factor: 0)).check(width: 8)
    }
    let tables = try RotaryTables(RotaryEmbedding(dimensions: 8), positions: 4)
    let tensor = try Tensor([Float](repeating: 1, count: 16), shape: [1, 1, 2, 8])
    #expect(throws: AttentionError.self) {
      try TestDevice.reference.engine().rotaryEmbedding(tensor, tables, positions: [[0, 4]])
    }
  }

  @Test("Embeddings and tables that cannot be", arguments: [-2, Int.min, 0, 3])
  func nonsense(dimensions: Int) {
    let embedding = RotaryEmbedding(dimensions: dimensions)
    #expect(embedding.frequencies.count == max(0, dimensions / 2))
    #expect(throws: AttentionError.self) { try RotaryTables(embedding, positions: 2) }
    #expect(throws: AttentionError.self) { try RotaryTables(RotaryEmbedding(dimensions: 2), positions: 1 << 60) }
  }
}
