import Attention
import AttentionTestSupport
import Testing

/// A cache against attention over plain arrays of what it holds.
@Suite("Key/value cache")
struct KVCacheTests {
  static let devices = TestDevice.allAndReference.filter { $0.kernel == .auto }

  @Test("Appended rows are attended to", arguments: devices, KVCacheStorage.allCases)
  func append(device: TestDevice, storage: KVCacheStorage) throws {
    let engine = try device.engine()
    for type in ElementType.storageTypes {
      for layout in [TensorLayout.bhsd, .bshd] {
        var options = KVCache.Options()
        options.blockLength = 16
        options.valueDimension = 32
        let cache = try engine.makeKVCache(batch: 2, heads: 2, headDimension: 64, storage: storage, options: options)
        var model = CacheModel(cache)
        for (n, lengths) in [(3, [3, 0]), (40, [40, 17]), (1, [1, 1])] {
          try model.append(n, lengths, type, layout, to: cache)
        }
        try model.check(cache, engine, queries: 3, heads: 4, type, layout)
      }
    }
  }
}
