import Attention
import AttentionTestSupport
import Foundation
import TensorFiles
import Testing

/// Files of caches that say what cannot be.
@Suite("Files of caches")
struct CacheFileTests {
  /// A file of a cache of two sequences, its description changed, and a tensor of it left out.
  private func load(_ change: (inout [String: Any]) -> Void = { _ in }, without tensor: String? = nil) throws {
    let engine = try AttentionEngine(device: .named(["cpu"]))
    var options = KVCache.Options()
    options.blockLength = 16
    let cache = try engine.makeKVCache(batch: 2, heads: 2, headDimension: 32, options: options)
    var model = CacheModel(cache)
    try model.append(20, [20, 3], .float32, .bhsd, to: cache)
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("cache-\(UUID()).safetensors").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try cache.save(to: path)

    let file = try Safetensors(path: path)
    let json = try #require(file.metadata["cache"])
    var description = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
    change(&description)
    let changed = String(decoding: try JSONSerialization.data(withJSONObject: description), as: UTF8.self)
    var tensors: [String: Tensor] = [:]
    for entry in file.entries where entry.name != tensor { tensors[entry.name] = try file.tensor(entry.name) }
    try Safetensors.write(tensors, metadata: ["cache": changed], to: path)
    let loaded = try engine.loadKVCache(from: path)
    #expect(loaded.lengths == [20, 3])
  }

  @Test("What was saved is loaded")
  func whole() throws { try load() }

  @Test("A length that cannot be", arguments: [-1, Int.min, Int.max, 1 << 31, 21])
  func lengths(length: Int) {
    #expect(throws: TensorFileError.self) { try load { $0["lengths"] = [length, 3] } }
  }

  @Test("Keys forgotten that cannot be", arguments: [-1, Int.min, Int.max, Int(Int32.max)])
  func forgotten(count: Int) {
    #expect(throws: TensorFileError.self) { try load { $0["forgotten"] = [count, 0] } }
  }

  @Test("Sizes that cannot be", arguments: ["batch", "heads", "headDimension"], [-1, 0, 5, Int.max])
  func sizes(name: String, size: Int) {
    #expect(throws: TensorFileError.self) { try load { $0[name] = size } }
  }

  @Test("A description of something else", arguments: ["lengths", "forgotten", "options"])
  func missing(name: String) {
    #expect(throws: TensorFileError.self) { try load { $0[name] = nil } }
  }

  @Test("A missing tensor", arguments: ["key.0", "value.1"])
  func missingTensor(name: String) {
    #expect(throws: TensorFileError.self) { try load(without: name) }
  }
}
