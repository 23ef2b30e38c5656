import Attention
import AttentionTestSupport
import Foundation
import TensorFiles
import Testing

/// Random operations on caches and on the arrays that they stand for: a few hundred of each storage, or as many as the
/// environment variable `ATTENTION_CACHE_OPERATIONS` says.
@Suite("Key/value cache, random operations")
struct CachePropertyTests {
  struct Pair {
    var cache: KVCache
    var model: CacheModel
  }

  @Test("Any sequence of operations", arguments: KVCacheTests.devices, KVCacheStorage.allCases)
  func operations(device: TestDevice, storage: KVCacheStorage) throws {
    let engine = try device.engine()
    var numbers = SeededNumbers(seed: 40)
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("cache-\(UUID()).safetensors").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let first = try KVCacheTests.cache(device, batch: 2, storage: storage) { $0.blockLimit = 40 }
    var pairs = [Pair(cache: first, model: CacheModel(first))]
    let wanted = ProcessInfo.processInfo.environment["ATTENTION_CACHE_OPERATIONS"].flatMap { Int($0) }
    let steps = wanted ?? (device.name == "reference" ? 200 : 600)
    for step in 0..<steps {
      // No block is in use that no cache needs: memory grows only with what is kept at once.
      let caches = pairs.map(\.cache) + (pairs.contains { $0.cache === first } ? [] : [first])
      let needed = caches.flatMap(\.lengths).reduce(0) { $0 + ($1 + 15) / 16 }
      #expect(first.pool.blockCount - first.pool.freeCount <= needed, "step \(step)")
      let index = Int.random(in: pairs.indices, using: &numbers)
      let cache = pairs[index].cache
      switch Int.random(in: 0..<16, using: &numbers) {
      case 0..<8:
        let count = Int.random(in: 0...(step % 7 == 0 ? 20 : 3), using: &numbers)
        let lengths = (0..<2).map { _ in Int.random(in: 0...count, using: &numbers) }
        let before = pairs[index].model
        do {
          try pairs[index].model.append(count, lengths, .float32, .bhsd, to: cache)
        } catch AttentionError.outOfBlocks {
          pairs[index].model = before
          try cache.truncate(to: 0)
          pairs[index].model.truncate(to: 0)
        }
      case 8..<11:
        let b = Int.random(in: 0..<2, using: &numbers)
        let length = Int.random(in: 0...cache.lengths[b], using: &numbers)
        try cache.truncate(sequence: b, to: length)
        pairs[index].model.truncate(sequence: b, to: length)
      case 11: pairs.append(Pair(cache: cache.fork(), model: pairs[index].model))
      case 12:
        try cache.share(sequence: 0, with: 1..<2)
        pairs[index].model.share()
      case 13 where step % 10 == 0:
        try cache.save(to: path)
        let loaded = try engine.loadKVCache(from: path)
        for b in 0..<2 { #expect(try loaded.contents(of: b) == cache.contents(of: b)) }
      case 14 where pairs.count > 1: pairs.remove(at: index)
      default:
        // A few, or a prompt.
        let queries = step % 3 == 0 ? 20 : Int.random(in: 1...2, using: &numbers)
        try pairs[index].model.check(cache, engine, queries: queries, heads: 4)
      }
      if pairs.count > 3 { pairs.removeFirst() }
    }
    for index in pairs.indices { try pairs[index].model.check(pairs[index].cache, engine, queries: 1, heads: 4) }
    // Forks and files have come and gone: nothing of them is left.
    #expect(first.pool.blockCount <= 40)
    for pair in pairs { try pair.cache.truncate(to: 0) }
    try first.truncate(to: 0)
    pairs = []
    #expect(first.pool.freeCount == first.pool.blockCount)
  }
}
