import Attention
import AttentionTestSupport
import Foundation
import TensorFiles
import Testing

/// A cache against attention over plain arrays of what it holds.
@Suite("Key/value cache")
struct KVCacheTests {
  static let devices = TestDevice.allAndReference.filter { $0.kernel == .auto }

  /// Caches of small blocks, so that a few tokens take several.
  static func cache(
    _ device: TestDevice, batch: Int = 1, storage: KVCacheStorage = .float32,
    _ change: (inout KVCache.Options) -> Void = { _ in }
  ) throws -> KVCache {
    var options = KVCache.Options()
    options.blockLength = 16
    change(&options)
    return try device.engine().makeKVCache(
      batch: batch, heads: 2, headDimension: 32, storage: storage, options: options)
  }

  @Test("Appended rows are attended to", arguments: devices, KVCacheStorage.allCases)
  func append(device: TestDevice, storage: KVCacheStorage) throws {
    for (type, layout) in [(ElementType.float32, TensorLayout.bhsd), (.bfloat16, .bshd)] {
      let cache = try Self.cache(device, batch: 2, storage: storage)
      var model = CacheModel(cache)
      for (n, lengths) in [(3, [3, 0]), (40, [40, 17]), (1, [1, 1])] {
        try model.append(n, lengths, type, layout, to: cache)
      }
      try model.check(cache, device.engine(), queries: 1, heads: 4, type, layout)
    }
  }

  @Test("Values wider than keys", arguments: devices, [KVCacheStorage.float32, .q8_0])
  func wideValues(device: TestDevice, storage: KVCacheStorage) throws {
    let cache = try Self.cache(device, batch: 2, storage: storage) { $0.valueDimension = 64 }
    var model = CacheModel(cache)
    for (n, lengths) in [(20, [20, 3]), (2, [1, 2])] { try model.append(n, lengths, .float32, .bhsd, to: cache) }
    try model.check(cache, device.engine(), queries: 1, heads: 4)
  }

  /// A megabyte of keys is the first part of a cache on a device, 4096 tokens here.
  @Test("A cache grows in parts, and a key stays where it is", arguments: devices)
  func parts(device: TestDevice) throws {
    let cache = try Self.cache(device)
    var model = CacheModel(cache)
    for count in [4000, 5, 300, 9000, 1, 5000, 1, 1, 9000] {
      try model.append(count, [count], .float32, .bhsd, to: cache)
    }
    try model.check(cache, device.engine(), queries: 1, heads: 2)
    try cache.truncate(to: 8000)
    model.truncate(to: 8000)
    try model.append(9000, [9000], .float32, .bhsd, to: cache)
    try model.check(cache, device.engine(), queries: 1, heads: 2)
  }

  /// Appending is started and not waited for, and the cache's memory may be the host's. (KernelTests have what keeps that.)
  @Test("A cache that goes away while a device still writes to it", arguments: devices)
  func droppedAtWork(device: TestDevice) throws {
    let engine = try device.engine()
    let rows = try Tensor([Float](repeating: 1, count: 1024 * 128), shape: [1, 8, 128, 128])
    for _ in 0..<100 {
      let cache = try engine.makeKVCache(heads: 8, headDimension: 128)
      try cache.append(key: rows, value: rows)
    }
  }

  @Test("Options of a recorded step are looked at before anything is appended", arguments: devices)
  func wrongSteps(device: TestDevice) throws {
    let engine = try device.engine()
    let cache = try Self.cache(device)
    let wrong: [(inout CacheAttentionOptions) -> Void] = [
      { $0.sinks = [0] }, { $0.scale = .nan }, { $0.alibiSlopes = [1, 2, 3] }, { $0.softcap = -1 },
    ]
    for change in wrong {
      var options = CacheAttentionOptions()
      change(&options)
      #expect(throws: AttentionError.self) { try engine.recordStep(cache: cache, queryHeads: 4, options: options) }
    }
    for type in [ElementType.bool, .int32, .float64] {
      #expect(throws: AttentionError.self) { try engine.recordStep(cache: cache, queryHeads: 4, elementType: type) }
    }
    #expect(cache.lengths == [0])
  }

  @Test("Everything that can be asked", arguments: devices)
  func options(device: TestDevice) throws {
    let cache = try Self.cache(device, batch: 2)
    var model = CacheModel(cache)
    try model.append(300, [300, 260], .float32, .bhsd, to: cache)
    // A tree of three tokens after the others: the second and the third see the first, not each other.
    let tree = (0..<3).flatMap { i in (0..<300).map { j in j < 297 || j == 297 || j == 297 + i } }
    try model.check(cache, device.engine(), queries: 3, heads: 4) {
      $0.mask = .tensor(try Tensor(tree, shape: [3, 300]))
    }
    try model.check(cache, device.engine(), queries: 3, heads: 4) {
      $0.mask = .causal(.lowerRight).window(left: 20)
      $0.scale = 0.3
      $0.softcap = 2
      $0.alibiSlopes = [0.1, 0.2, 0.3, 0]
      $0.sinks = [0, 1, -1, -.infinity]
    }
    try model.check(cache, device.engine(), queries: 3, heads: 4) {
      $0.mask = .blocks(try BlockMaskTests.mask([2, 4], 3, 300, 2, 32))
    }
  }

  @Test("Values that are the beginnings of keys", arguments: devices, [KVCacheStorage.float32, .q8_0])
  func latent(device: TestDevice, storage: KVCacheStorage) throws {
    try Self.checkLatent(device, storage, width: 64, valueDimension: 32, heads: 6, queries: 2)
  }

  /// Attention to rows of which the first elements are the values, 70 of them; such a cache takes no others.
  static func checkLatent(
    _ device: TestDevice, _ storage: KVCacheStorage, width: Int, valueDimension: Int, heads: Int, queries: Int
  ) throws {
    var options = KVCache.Options()
    options.valueDimension = valueDimension
    options.valuesAreKeys = true
    let engine = try device.engine()
    let cache = try engine.makeKVCache(heads: 1, headDimension: width, storage: storage, options: options)
    var numbers = SeededNumbers(seed: 5)
    let key = try numbers.tensor([1, 1, 70, width], .float32)
    let query = try numbers.tensor([1, heads, queries, width], .float32)
    try cache.append(key: key, value: nil)
    let format = KVRowFormat(storage, width: width)
    let rows = (0..<70).map { format.rounded(CacheModel.row(key, .bhsd, 0, 0, $0)) }
    let expected = try TestDevice.reference.engine().scaledDotProductAttention(
      query: query, key: try Tensor(rows.flatMap { $0 }, shape: [1, 1, 70, width]),
      value: try Tensor(rows.flatMap { $0.prefix(valueDimension) }, shape: [1, 1, 70, valueDimension]),
      mask: .causal(.lowerRight))
    #expect(
      mismatch("output", try engine.scaledDotProductAttention(query: query, cache: cache), expected, Bound(1e-5)) == nil
    )
    #expect(throws: AttentionError.self) { try cache.append(key: key, value: key) }
  }

  @Test("A rolling cache keeps its sinks and its window", arguments: devices, [true, false])
  func rolling(device: TestDevice, rotates: Bool) throws {
    let engine = try device.engine()
    let cache = try Self.cache(device) {
      $0.rolling = .init(sinks: 3, window: 40)
      if rotates { $0.rotary = RotaryEmbedding(dimensions: 32) }
    }
    var numbers = SeededNumbers(seed: 6)
    let total = 200
    let key = try numbers.tensor([1, 2, total, 32], .float32)
    let value = try numbers.tensor([1, 2, total, 32], .float32)
    let query = try numbers.tensor([1, 4, 1, 32], .float32)
    func rows(_ tensor: Tensor, _ indices: [Int]) throws -> Tensor {
      let elements = (0..<2).flatMap { h in indices.flatMap { CacheModel.row(tensor, .bhsd, 0, h, $0) } }
      return try Tensor(elements, shape: [1, 2, indices.count, 32])
    }
    let reference = try TestDevice.reference.engine()
    let tables = try RotaryTables(RotaryEmbedding(dimensions: 32), positions: total)
    func append(_ tokens: [Int]) throws {
      try cache.append(key: try rows(key, tokens), value: try rows(value, tokens))
    }
    func check(_ kept: [Int], _ when: String) throws {
      #expect(cache.lengths == [kept.count])
      var (k, q) = (try rows(key, kept), query)
      if rotates {
        // As if what is kept had come without what is forgotten.
        k = try reference.rotaryEmbedding(k, tables)
        q = try reference.rotaryEmbedding(q, tables, positions: [[kept.count - 1]])
      }
      var options = CacheAttentionOptions()
      var call = AttentionCall(query: q, key: k, value: try rows(value, kept))
      for softcap in [nil, 2] as [Float?] {
        (options.softcap, call.softcap) = (softcap, softcap)
        let found = try engine.attention(query: query, cache: cache, options).output
        #expect(mismatch("output after \(when)", found, try reference.attention(call).output, Bound(2e-5)) == nil)
      }
    }
    var done = 0
    for count in [1, 1, 30, 20, 1, 60, 1, 1, 17, 1, 1, 1, 65] {
      try append(Array(done..<done + count))
      done += count
      #expect(cache.positions == [done])
      try check((0..<done).filter { $0 < 3 || $0 >= done - 40 }, "\(done)")
    }
    #expect(cache.pool.blockCount - cache.pool.freeCount <= 5)
    // Cut to fewer tokens than there are sinks, it takes new ones, which stay when it rolls again.
    try cache.truncate(to: 1)
    try append(Array(100..<150))
    try check([0, 100, 101] + Array(110..<150), "new sinks")
    // An empty sequence begins anew, and holds no block.
    try cache.truncate(to: 0)
    #expect(cache.positions == [0])
    #expect(cache.pool.freeCount == cache.pool.blockCount)
    try append([7])
    #expect(cache.positions == [1])
    // More at once than it keeps, from the first token on.
    try cache.truncate(to: 0)
    try append(Array(7..<107))
    try check([7, 8, 9] + Array(67..<107), "a long prompt")
  }

  @Test("Out of blocks: an error that changes nothing", arguments: devices)
  func outOfBlocks(device: TestDevice) throws {
    let cache = try Self.cache(device) { $0.blockLimit = 3 }
    var model = CacheModel(cache)
    try model.append(40, [40], .float32, .bhsd, to: cache)
    let rows = try Tensor([Float](repeating: 1, count: 2 * 9 * 32), shape: [1, 2, 9, 32])
    #expect(throws: AttentionError.outOfBlocks(needed: 1, available: 0)) { try cache.append(key: rows, value: rows) }
    // A fork that writes to a shared block needs one of its own.
    let fork = cache.fork()
    let one = try Tensor([Float](repeating: 1, count: 64), shape: [1, 2, 1, 32])
    #expect(throws: AttentionError.outOfBlocks(needed: 1, available: 0)) { try fork.append(key: one, value: one) }
    try model.check(cache, device.engine(), queries: 1, heads: 4)
    try model.check(fork, device.engine(), queries: 1, heads: 4)
    try model.append(
      8, [8], .float32, .bhsd,
      to: {
        try fork.truncate(to: 0)
        return cache
      }())
    try model.check(cache, device.engine(), queries: 1, heads: 4)
  }

  @Test("Blocks that a failed append took are free again", arguments: devices)
  func undone(device: TestDevice) throws {
    let cache = try Self.cache(device, batch: 2) { $0.blockLimit = 3 }
    var model = CacheModel(cache)
    try model.append(20, [20, 0], .float32, .bhsd, to: cache)
    // The first sequence takes the last block before there is none for the second.
    let rows = try Tensor([Float](repeating: 1, count: 2 * 2 * 20 * 32), shape: [2, 2, 20, 32])
    for _ in 0..<2 {
      #expect(throws: AttentionError.outOfBlocks(needed: 1, available: 0)) {
        try cache.append(key: rows, value: rows, lengths: [20, 1])
      }
    }
    #expect(cache.pool.blockCount - cache.pool.freeCount == 2)
    try model.append(20, [20, 0], .float32, .bhsd, to: cache)
    try model.check(cache, device.engine(), queries: 1, heads: 4)
  }

  @Test("A prefix that sequences share is read once, and gives the same bits", arguments: devices)
  func cascade(device: TestDevice) throws {
    let engine = try device.engine()
    var outputs: [[UInt8]] = []
    for shares in [true, false] {
      let cache = try Self.cache(device, batch: 3)
      var model = CacheModel(cache)
      try model.append(600, [600, 0, 0], .float32, .bhsd, to: cache)
      let blocks = cache.pool.blockCount - cache.pool.freeCount
      if shares {
        try cache.share(sequence: 0, with: 1..<3)
        #expect(cache.pool.blockCount - cache.pool.freeCount == blocks)
      } else {
        for b in 1..<3 { try cache.restore(cache.contents(of: 0), to: b) }
      }
      for b in 1..<3 { (model.keys[b], model.values[b]) = (model.keys[0], model.values[0]) }
      try model.append(5, [5, 3, 0], .float32, .bhsd, to: cache)
      try model.check(cache, engine, queries: 2, heads: 4)
      var numbers = SeededNumbers(seed: 9)
      let query = try numbers.tensor([3, 4, 2, 32], .float32)
      outputs.append(try engine.scaledDotProductAttention(query: query, cache: cache).bits)
    }
    #expect(outputs[0] == outputs[1])
  }

  @Test("Rows and queries on the device", arguments: devices)
  func onDevice(device: TestDevice) throws {
    let engine = try device.engine()
    let (host, cache) = (try Self.cache(device), try Self.cache(device))
    var numbers = SeededNumbers(seed: 2)
    let key = try numbers.tensor([1, 20, 2, 32], .float32)
    let query = try numbers.tensor([1, 2, 4, 32], .float32)
    try host.append(key: key, value: key, layout: .bshd)
    let rows = try engine.deviceTensor(key)
    try cache.append(key: rows, value: rows, layout: .bshd)
    let expected = try engine.scaledDotProductAttention(query: query, cache: host, layout: .bshd)
    let found = try engine.scaledDotProductAttention(
      query: try engine.deviceTensor(query), cache: cache, layout: .bshd)
    #expect(found.shape == expected.shape)
    #expect(try found.tensor().bits == expected.bits)
    #expect(try rows.reshaped([40, 32]).tensor().floats() == key.floats())
  }

  @Test("What a cache refuses", arguments: devices)
  func refusals(device: TestDevice) throws {
    let engine = try device.engine()
    let cache = try Self.cache(device)
    let rows = try Tensor([Float](repeating: 0, count: 64), shape: [1, 2, 1, 32])
    let three = try Tensor([Float](repeating: 0, count: 96), shape: [1, 3, 1, 32])
    for refused: () throws -> Void in [
      { try cache.append(key: three, value: three) },
      { try cache.append(key: rows, value: try rows.converted(to: .float16)) },
      { try cache.append(key: rows, value: nil) },
      { try cache.append(key: rows, value: rows, lengths: [2]) },
      { try cache.append(key: rows, value: rows, positions: [[0]]) },
      { try cache.append(key: rows, value: rows, layout: .thd) },
      { try cache.truncate(sequence: 0, to: 1) },
      { try cache.truncate(sequence: 1, to: 0) },
      { try cache.share(sequence: 0, with: 0..<2) },
      { _ = try engine.scaledDotProductAttention(query: three, cache: cache) },
      { _ = try engine.makeKVCache(heads: 2, headDimension: 33, storage: .q8_0) },
      { _ = try engine.makeKVCache(heads: 0, headDimension: 32) },
      { _ = try engine.makeKVCache(heads: 2, headDimension: .max) },
    ] {
      #expect(throws: AttentionError.self) { try refused() }
    }
    #expect(cache.lengths == [0])
    #expect(
      try engine.scaledDotProductAttention(query: rows, cache: cache).floats() == [Float](repeating: 0, count: 64))
  }
}

@Suite("Recorded steps")
struct RecordedStepTests {
  /// Across blocks, pieces and parts of the cache, against the calls that a step stands for.
  @Test("A replayed step is an append and an attention", arguments: KVCacheTests.devices, [false, true])
  func replay(device: TestDevice, rotates: Bool) throws {
    let engine = try device.engine()
    func cache() throws -> KVCache {
      try KVCacheTests.cache(device, batch: 2) { if rotates { $0.rotary = RotaryEmbedding(dimensions: 16) } }
    }
    let (recorded, plain) = (try cache(), try cache())
    var numbers = SeededNumbers(seed: 21)
    let prompt = try numbers.tensor([2, 2, 250, 32], .float32)
    for cache in [recorded, plain] { try cache.append(key: prompt, value: prompt, lengths: [250, 10]) }
    let step = try engine.recordStep(cache: recorded, queryHeads: 4)
    for _ in 0..<12 {
      let query = try numbers.tensor([2, 4, 1, 32], .float32)
      let key = try numbers.tensor([2, 2, 1, 32], .float32)
      let value = try numbers.tensor([2, 2, 1, 32], .float32)
      try step.query.write(query)
      try step.key.write(key)
      try #require(step.value).write(value)
      try step.run()
      try plain.append(key: key, value: value)
      let expected = try engine.attention(query: query, cache: plain, CacheAttentionOptions())
      #expect(try step.output.tensor().bits == expected.output.bits)
      #expect(try step.logSumExp.tensor().bits == expected.logSumExp.bits)
    }
    #expect(recorded.lengths == [262, 22])
  }

  @Test("What a step cannot be")
  func refusals() throws {
    let engine = try TestDevice.reference.engine()
    let cache = try KVCacheTests.cache(.reference)
    #expect(throws: AttentionError.self) { try engine.recordStep(cache: cache, queryHeads: 3) }
    var options = CacheAttentionOptions()
    options.mask = .tensor(try Tensor([true], shape: [1]))
    #expect(throws: AttentionError.self) { try engine.recordStep(cache: cache, queryHeads: 2, options: options) }
  }
}
