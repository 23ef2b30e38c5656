import Attention
import AttentionTestSupport
import Testing

/// Many queries to a cache: its rows are gathered, and the fused kernels go over them.
@Suite("Prompts over a cache")
struct CachePromptTests {
  static let devices = KVCacheTests.devices

  @Test("Every storage and type of queries, in both layouts", arguments: devices, KVCacheStorage.allCases)
  func storages(device: TestDevice, storage: KVCacheStorage) throws {
    for type in [ElementType.float32, .float16, .bfloat16] {
      for layout in [TensorLayout.bhsd, .bshd] {
        let cache = try KVCacheTests.cache(device, batch: 3, storage: storage)
        var model = CacheModel(cache)
        for (n, lengths) in [(30, [30, 0, 7]), (37, [37, 0, 20])] {
          try model.append(n, lengths, type, layout, to: cache)
        }
        // More queries than a sequence has keys, too.
        for queries in [17, 65] { try model.check(cache, device.engine(), queries: queries, heads: 4, type, layout) }
      }
    }
  }

  @Test("Everything that can be asked", arguments: devices)
  func options(device: TestDevice) throws {
    let cache = try KVCacheTests.cache(device, batch: 2)
    var model = CacheModel(cache)
    try model.append(300, [300, 260], .float32, .bhsd, to: cache)
    let engine = try device.engine()
    for layout in [TensorLayout.bhsd, .bshd] {
      try model.check(cache, engine, queries: 33, heads: 4, .float32, layout) {
        $0.mask = .causal(.lowerRight).window(left: 20)
        $0.scale = 0.3
        $0.softcap = 2
        $0.alibiSlopes = [0.1, 0.2, 0.3, 0]
        $0.sinks = [0, 1, -1, -.infinity]
      }
      // Keys before and after those that are seen, and none.
      for offset in [100, -40, 500] {
        try model.check(cache, engine, queries: 20, heads: 2, .float32, layout) {
          $0.mask = .window(left: 30, right: 25).queryOffset(offset)
          $0.alibiSlopes = [0.1, 0.2]
        }
      }
      try model.check(cache, engine, queries: 33, heads: 4, .float32, layout) { $0.mask = .none }
      try model.check(cache, engine, queries: 40, heads: 4, .float32, layout) {
        $0.mask = .tensor(
          try Tensor((0..<80 * 300).map { $0 % 7 != 3 && $0 % 300 < 290 }, shape: [2, 1, 40, 300])
        ).causal(.lowerRight)
      }
      try model.check(cache, engine, queries: 40, heads: 4, .float32, layout) {
        $0.mask = .blocks(try BlockMaskTests.mask([2, 4], 40, 300, 8, 32))
      }
    }
  }

  @Test("Values wider than keys, and dimensions that are no multiple of four", arguments: devices, [(64, 32), (7, 30)])
  func dimensions(device: TestDevice, sizes: (value: Int, key: Int)) throws {
    var options = KVCache.Options()
    options.blockLength = 16
    options.valueDimension = sizes.value
    // With one key/value head, the last of a sequence has the number of the next one's first.
    for heads in [2, 1] {
      let cache = try device.engine().makeKVCache(batch: 2, heads: heads, headDimension: sizes.key, options: options)
      var model = CacheModel(cache)
      try model.append(70, [70, 40], .float32, .bhsd, to: cache)
      for type in [ElementType.float32, .float16] {
        try model.check(cache, device.engine(), queries: 20, heads: 4, type, .bshd)
      }
    }
  }

  @Test("Values that are the beginnings of keys", arguments: devices, [KVCacheStorage.float32, .float16, .q4_0])
  func latent(device: TestDevice, storage: KVCacheStorage) throws {
    try KVCacheTests.checkLatent(device, storage, width: 576, valueDimension: 512, heads: 3, queries: 18)
  }

  @Test(
    "Rotated queries, in positions of their own too", arguments: devices, [KVCacheStorage.float32, .float16])
  func rotation(device: TestDevice, storage: KVCacheStorage) throws {
    let (engine, reference) = (try device.engine(), try TestDevice.reference.engine())
    let rotary = RotaryEmbedding(dimensions: 16, style: .interleaved)
    let tables = try RotaryTables(rotary, positions: 200)
    let cache = try KVCacheTests.cache(device, batch: 2, storage: storage) { $0.rotary = rotary }
    var numbers = SeededNumbers(seed: 8)
    let key = try numbers.tensor([2, 2, 100, 32], .float32)
    let query = try numbers.tensor([2, 4, 40, 32], .float32)
    try cache.append(key: key, value: key)
    func rounded(_ tensor: Tensor) throws -> Tensor {
      storage == .float32 ? tensor : try tensor.converted(to: .float16).converted(to: .float32)
    }
    for positions in [nil, [(0..<40).map { 3 * $0 }, (0..<40).map { 150 - $0 }]] {
      var options = CacheAttentionOptions()
      options.positions = positions
      for type in [ElementType.float32, .float16] {
        let asked = try query.converted(to: type)
        let found = try engine.attention(query: asked, cache: cache, options).output
        let expected = try reference.scaledDotProductAttention(
          query: try reference.rotaryEmbedding(
            asked.converted(to: .float32), tables,
            positions: positions ?? [Array(60..<100), Array(60..<100)]),
          key: rounded(reference.rotaryEmbedding(key, tables, positions: [Array(0..<100), Array(0..<100)])),
          value: rounded(key),
          mask: .causal(.lowerRight))
        // The cache's own rotation is of float32: a key may round to the other neighbour.
        let bound = Bound(2e-5 + (storage == .float32 ? 0 : 1e-3) + 4 * type.unitRoundoff)
        #expect(mismatch("output", try found.converted(to: .float32), expected, bound) == nil)
      }
    }
  }

  /// What is on a device is read there, and of several blocks of heads each finds its own.
  @Test("The bits of the same call on arrays", arguments: devices.filter { $0 != .reference })
  func sameBits(device: TestDevice) throws {
    let engine = try device.engine()
    // Packed keys and values of a processor's kernels are then more than one block of heads has.
    let cache = try engine.makeKVCache(heads: 8, headDimension: 64)
    var numbers = SeededNumbers(seed: 3)
    let (key, value) = (
      try numbers.tensor([1, 8, 9001, 64], .float32), try numbers.tensor([1, 8, 9001, 64], .float32)
    )
    let query = try numbers.tensor([1, 8, 17, 64], .float32)
    try cache.append(key: key, value: value)
    var call = AttentionCall(query: query, key: key, value: value)
    call.mask = .causal(.lowerRight)
    call.returning = [.output, .logSumExp]
    if case .kernels(let plan)? = try engine.plan(AttentionProblem(call)).parts.first?.work,
      case .fusedCPU = plan.tiles
    {
      #expect(plan.blocks.count > 1)
    }
    let expected = try engine.attention(call)
    let found = try engine.attention(query: engine.deviceTensor(query), cache: cache, CacheAttentionOptions())
    #expect(try found.output.tensor().bits == expected.output?.bits)
    #expect(try found.logSumExp.tensor().bits == expected.logSumExp?.bits)
  }

  @Test("A rolling cache", arguments: devices)
  func rolling(device: TestDevice) throws {
    let engine = try device.engine()
    let cache = try KVCacheTests.cache(device) { $0.rolling = .init(sinks: 3, window: 40) }
    var numbers = SeededNumbers(seed: 6)
    let key = try numbers.tensor([1, 2, 100, 32], .float32)
    let query = try numbers.tensor([1, 4, 20, 32], .float32)
    for token in 0..<100 {
      let row = try Tensor(
        (0..<2).flatMap { CacheModel.row(key, .bhsd, 0, $0, token) }, shape: [1, 2, 1, 32])
      try cache.append(key: row, value: row)
    }
    let kept = [0, 1, 2] + Array(60..<100)
    let rows = try Tensor(
      (0..<2).flatMap { h in kept.flatMap { CacheModel.row(key, .bhsd, 0, h, $0) } }, shape: [1, 2, kept.count, 32])
    for window in [nil, 10] {
      var options = CacheAttentionOptions()
      if let window { options.mask = options.mask.window(left: window) }
      let found = try engine.attention(query: query, cache: cache, options).output
      var call = AttentionCall(query: query, key: rows, value: rows)
      call.mask = options.mask
      let expected = try TestDevice.reference.engine().attention(call).output
      #expect(mismatch("output", found, expected, Bound(1e-5)) == nil)
    }
  }

  @Test("A recorded step of many tokens", arguments: devices)
  func recorded(device: TestDevice) throws {
    let engine = try device.engine()
    let (recorded, plain) = (try KVCacheTests.cache(device), try KVCacheTests.cache(device))
    var numbers = SeededNumbers(seed: 21)
    let step = try engine.recordStep(cache: recorded, queryHeads: 4, tokens: 20)
    for _ in 0..<3 {
      let query = try numbers.tensor([1, 4, 20, 32], .float32)
      let key = try numbers.tensor([1, 2, 20, 32], .float32)
      try step.query.write(query)
      try step.key.write(key)
      try #require(step.value).write(key)
      try step.run()
      try plain.append(key: key, value: key)
      let expected = try engine.attention(query: query, cache: plain, CacheAttentionOptions())
      #expect(try step.output.tensor().bits == expected.output.bits)
      #expect(try step.logSumExp.tensor().bits == expected.logSumExp.bits)
    }
  }

  /// What the engine is told to use, it uses: few queries by the fused kernels, many by those of decoding.
  @Test("Kernels that were asked for", arguments: TestDevice.openCL)
  func asked(device: TestDevice) throws {
    for (kernel, queries) in [(KernelChoice.fused, 2), (.decode, 40)] {
      let engine = try AttentionEngine(device: .named([device.name]), kernel: kernel, tuning: .none)
      let cache = try engine.makeKVCache(heads: 2, headDimension: 32)
      var model = CacheModel(cache)
      try model.append(90, [90], .float32, .bhsd, to: cache)
      try model.check(cache, engine, queries: queries, heads: 4)
      #expect(try engine.cacheKernel(Self.problem(queries: queries)) == kernel)
    }
    let engine = try device.engine()
    #expect(try engine.cacheKernel(Self.problem(queries: 16)) == .decode)
    #expect(try engine.cacheKernel(Self.problem(queries: 17)) == .fused)
  }

  private static func problem(queries: Int) throws -> AttentionProblem {
    try AttentionProblem(
      batch: 1, queryHeads: 4, keyValueHeads: 2, queryLength: queries, keyLength: 90, headDimension: 32,
      valueDimension: 32, elementType: .float32)
  }
}
