extension AttentionEngine {
  /// Makes an empty cache on the engine's device, the first where it has several.
  ///
  /// - Parameters:
  ///   - batch: Sequences.
  ///   - heads: Key/value heads.
  ///   - headDimension: That of keys, and of values unless the options say otherwise.
  ///   - storage: How keys and values are kept, in place of what the options say.
  ///   - options: Everything else.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for options that do not fit together.
  public func makeKVCache(
    batch: Int = 1, heads: Int, headDimension: Int, storage: KVCacheStorage? = nil,
    options: KVCache.Options = KVCache.Options()
  ) throws -> KVCache {
    var options = options
    let storage = storage ?? options.storage
    options.storage = storage
    let valueDimension = options.valueDimension ?? headDimension
    try Self.check(options, batch: batch, heads: heads, headDimension: headDimension, valueDimension: valueDimension)
    let shape = KVBlockShape(
      heads: heads, blockLength: options.blockLength, key: KVRowFormat(storage, width: headDimension),
      value: options.valuesAreKeys ? nil : KVRowFormat(storage, width: valueDimension), valueDimension: valueDimension)
    // Every later size is a part of these.
    for bytes in [shape.keyBytes, shape.valueBytes] where bytes >= 1 << 40 {
      throw AttentionError.invalid(argument: "cache", found: "blocks of \(bytes) bytes", expected: "less than 2^40")
    }
    let store: any KVBlockStore =
      switch try roster.home() {
      case .host: HostBlocks(shape, self)
      case .device(let executor): try DeviceBlocks(shape, executor, self)
      }
    return KVCache(
      batch: batch, heads: heads, headDimension: headDimension, valueDimension: valueDimension, options: options,
      pool: KVBlockPool(store, most: options.blockLimit), engine: self)
  }

  private static func check(
    _ options: KVCache.Options, batch: Int, heads: Int, headDimension: Int, valueDimension: Int
  ) throws {
    func require(_ holds: Bool, _ argument: String, _ found: Any, _ expected: String) throws {
      guard holds else { throw AttentionError.invalid(argument: argument, found: "\(found)", expected: expected) }
    }
    let most = 1 << 16
    try require((0...1 << 20).contains(batch), "batch", batch, "0 to \(1 << 20)")
    try require((1...most).contains(heads), "heads", heads, "1 to \(most)")
    try require((1...most).contains(headDimension), "head dimension", headDimension, "1 to \(most)")
    try require((1...most).contains(valueDimension), "value dimension", valueDimension, "1 to \(most)")
    try require(
      !options.valuesAreKeys || valueDimension <= headDimension, "value dimension", valueDimension,
      "at most the keys' \(headDimension), whose beginnings the values are")
    try require(
      (1...4096).contains(options.blockLength) && options.blockLength.nonzeroBitCount == 1, "block length",
      options.blockLength, "a power of two from 1 to 4096")
    try require(options.blockLimit ?? 1 >= 1, "block limit", options.blockLimit ?? 1, "1 or more")
    for width in [headDimension, valueDimension] { try options.storage.check(width: width) }
    try options.rotary?.check(width: headDimension)
    if let rolling = options.rolling {
      try require((0...1 << 20).contains(rolling.sinks), "sinks", rolling.sinks, "0 to \(1 << 20)")
      try require((1...1 << 28).contains(rolling.window), "window", rolling.window, "1 to \(1 << 28)")
    }
  }

  // MARK: Attention

  /// Attention of queries to the keys and values of a cache.
  ///
  /// - Parameters:
  ///   - query: `[B, Hq, Lq, D]` in layout `bhsd`, `[B, Lq, Hq, D]` in `bshd`; float32, float16 or bfloat16, whatever the
  ///     cache's storage. The queries stand at the last `Lq` positions of their sequence.
  ///   - cache: A cache of this engine.
  ///   - layout: How the query's dimensions lie, and the output's: `bhsd` or `bshd`.
  ///   - mask: Which keys each query sees. A tensor broadcasts to `[B, Hq, Lq, Lk]`, `Lk` the longest sequence's: a tree of
  ///     tokens that are tried together is a boolean one.
  ///   - scale: What the products are multiplied by; `1/√D` where it is nil.
  /// - Returns: The output in the query's type and layout. A query that sees no key gives zeros.
  /// - Throws: ``AttentionError``.
  public func scaledDotProductAttention(
    query: Tensor, cache: KVCache, layout: TensorLayout = .bhsd, mask: AttentionMask = .causal(.lowerRight),
    scale: Float? = nil
  ) throws -> Tensor {
    var options = CacheAttentionOptions(layout: layout)
    options.mask = mask
    options.scale = scale
    return try attention(query: query, cache: cache, options).output
  }

  /// As ``scaledDotProductAttention(query:cache:layout:mask:scale:)``, of queries on the device: the output stays there.
  public func scaledDotProductAttention(
    query: DeviceTensor, cache: KVCache, layout: TensorLayout = .bhsd, mask: AttentionMask = .causal(.lowerRight),
    scale: Float? = nil
  ) throws -> DeviceTensor {
    var options = CacheAttentionOptions(layout: layout)
    options.mask = mask
    options.scale = scale
    return try attention(query: query, cache: cache, options).output
  }

  /// Attention to a cache with everything that can be asked of it.
  public func attention(
    query: Tensor, cache: KVCache, _ options: CacheAttentionOptions
  ) throws -> (output: Tensor, logSumExp: Tensor) {
    guard case .host(let output, let logSumExp) = try attend(.host(query), cache, options, onHost: true) else {
      throw AttentionError.cannotRun(device: "engine", reason: "the output was not computed")
    }
    return (output, logSumExp)
  }

  /// Attention to a cache with everything that can be asked of it, on the device.
  ///
  /// Up to 16 queries are started and not waited for; with more, a prompt's, it returns when they are done: their keys and
  /// values are side by side for that time, in memory beside the cache's.
  public func attention(
    query: DeviceTensor, cache: KVCache, _ options: CacheAttentionOptions
  ) throws -> (output: DeviceTensor, logSumExp: DeviceTensor) {
    guard case .device(let output, let logSumExp) = try attend(.device(query), cache, options, onHost: false) else {
      throw AttentionError.cannotRun(device: "engine", reason: "the output was not computed")
    }
    return (output, logSumExp)
  }

  /// Attends as a recorded step does: to where it wants the results.
  func replay(
    _ recording: DecodeRecording, query: DeviceTensor, cache: KVCache, _ options: CacheAttentionOptions
  ) throws {
    _ = try attend(.device(query), cache, options, onHost: false, recording)
  }

  /// The kernels that attention to a cache on an OpenCL device prefers: decode for few queries, fused for more, or what the
  /// engine was told of these two.
  package func cacheKernel(_ problem: AttentionProblem) -> KernelChoice {
    switch kernel {
    case .decode, .fused: kernel
    case .auto, .staged: problem.isDecoding ? .decode : .fused
    }
  }

  @discardableResult
  private func attend(
    _ query: KVRows, _ cache: KVCache, _ options: CacheAttentionOptions, onHost: Bool,
    _ recording: DecodeRecording? = nil
  ) throws -> CacheResult {
    let problem = try AttentionProblem(
      query: query.shape, elementType: query.elementType, cache: cache, options)
    let (blocks, sequences) = cache.layout { b in
      let sequence = problem.sequences[b]
      return sequence.queryLength == 0 ? 0..<0 : sequence.visibleKeys(queries: 0..<sequence.queryLength)
    }
    return try cache.pool.store.attend(
      CacheQuery(
        problem: problem, query: query, mask: options.mask, alibiSlopes: options.alibiSlopes, sinks: options.sinks,
        blocks: blocks, sequences: sequences, angles: try options.angles(cache, problem), onHost: onHost,
        recording: recording))
  }
}

/// What can be asked of a cache beside the query. As the properties of ``AttentionCall``.
public struct CacheAttentionOptions: Sendable {
  /// `bhsd` or `bshd`, of the query and the output.
  public var layout: TensorLayout
  public var mask = AttentionMask.causal(.lowerRight)
  public var scale: Float?
  public var softcap: Float?
  /// `[Hq]`.
  public var alibiSlopes: [Float]?
  /// `[Hq]`: `exp(sink)` joins the softmax denominator.
  public var sinks: [Float]?
  /// `[B][Lq]`: where the queries are rotated to, where the cache rotates; the last positions of their sequence where it is
  /// nil.
  public var positions: [[Int]]?

  public init(layout: TensorLayout = .bhsd) { self.layout = layout }

  fileprivate func angles(_ cache: KVCache, _ problem: AttentionProblem) throws -> RotaryAngles? {
    guard let rotary = cache.options.rotary else {
      guard positions == nil else {
        throw AttentionError.invalid(argument: "positions", found: "some", expected: "none: the cache rotates nothing")
      }
      return nil
    }
    if let positions, positions.count != problem.batch || positions.contains(where: { $0.count != problem.queryLength })
    {
      throw AttentionError.invalid(
        argument: "positions", found: "\(positions.map(\.count)) positions",
        expected: "[B][Lq] = [\(problem.batch)][\(problem.queryLength)]")
    }
    let ends = cache.positions
    let places = (0..<problem.batch).flatMap { b in
      (0..<problem.queryLength).map { i in positions?[b][i] ?? ends[b] - problem.queryLength + i }
    }
    return RotaryAngles(embedding: rotary, values: rotary.angles(at: places))
  }
}
