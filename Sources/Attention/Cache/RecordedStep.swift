/// One step of decoding, prepared once: append new tokens to a cache, attend to it. Replaying it plans nothing and sets
/// only what has changed since the last time: lengths, positions, and now and then a block more.
///
/// ```swift
/// let step = try engine.recordStep(cache: cache, queryHeads: 32)
/// // … write query, key and value of the new token to step.query, step.key and step.value …
/// try step.run()
/// // … read step.output …
/// ```
///
/// As its cache, a step is used by one thread at a time.
public final class RecordedStep {
  /// What the step reads: `[B, Hq, n, D]`, `[B, Hkv, n, D]`, `[B, Hkv, n, Dv]` in layout `bhsd`, `[B, n, ·, ·]` in `bshd`. The
  /// value is nil where values are keys.
  public let query: DeviceTensor
  public let key: DeviceTensor
  public let value: DeviceTensor?
  /// What it writes: the output in the query's layout, and `[B, Hq, n]`.
  public let output: DeviceTensor
  public let logSumExp: DeviceTensor

  private let engine: AttentionEngine
  private let cache: KVCache
  private let options: CacheAttentionOptions
  private let recording: DecodeRecording

  fileprivate init(
    _ engine: AttentionEngine, _ cache: KVCache, queryHeads: Int, tokens: Int, _ elementType: ElementType,
    _ options: CacheAttentionOptions
  ) throws {
    guard options.mask.tensor == nil, options.mask.blocks == nil, options.positions == nil else {
      throw AttentionError.invalid(
        argument: "options", found: "a mask tensor, a block mask or positions",
        expected: "what fits every length: a causal mask, a window")
    }
    guard options.layout != .thd, queryHeads > 0, queryHeads % cache.heads == 0, tokens > 0 else {
      throw AttentionError.invalid(
        argument: "step", found: "\(queryHeads) query heads, \(tokens) tokens, layout \(options.layout.rawValue)",
        expected: "a multiple of \(cache.heads) heads, 1 or more tokens, layout bhsd or bshd")
    }
    func tensor(_ heads: Int, _ width: Int) throws -> DeviceTensor {
      let rows = options.layout == .bhsd ? [heads, tokens] : [tokens, heads]
      return try engine.deviceTensor(shape: [cache.batch] + rows + [width], elementType: elementType)
    }
    query = try tensor(queryHeads, cache.headDimension)
    key = try tensor(cache.heads, cache.headDimension)
    value = cache.options.valuesAreKeys ? nil : try tensor(cache.heads, cache.valueDimension)
    output = try tensor(queryHeads, cache.valueDimension)
    logSumExp = try engine.deviceTensor(shape: [cache.batch, queryHeads, tokens])
    // What cannot be attended to must not be appended either: later steps differ from this one in their lengths alone.
    _ = try AttentionProblem(
      query: query.shape, elementType: elementType, cache: cache, options, appending: tokens)
    self.engine = engine
    self.cache = cache
    self.options = options
    recording = DecodeRecording(output: output, logSumExp: logSumExp)
  }

  /// Appends ``key`` and ``value`` and attends with ``query``. On a device the work is started, not waited for, but that of a
  /// step of more than 16 tokens, whose keys are brought side by side meanwhile.
  ///
  /// - Throws: As appending to the cache and attention over it do.
  public func run() throws {
    try cache.append(key: key, value: value, layout: options.layout)
    try engine.replay(recording, query: query, cache: cache, options)
  }
}

extension AttentionEngine {
  /// Prepares a step of decoding over a cache of this engine.
  ///
  /// - Parameters:
  ///   - cache: A cache of this engine.
  ///   - queryHeads: `Hq`, a multiple of the cache's heads.
  ///   - tokens: New tokens of each sequence, each with a query.
  ///   - elementType: That of queries, new keys and values, and the output.
  ///   - options: What is asked; masks by position alone.
  /// - Throws: ``AttentionError``, for all that is wrong with the options too.
  public func recordStep(
    cache: KVCache, queryHeads: Int, tokens: Int = 1, elementType: ElementType = .float32,
    options: CacheAttentionOptions = CacheAttentionOptions()
  ) throws -> RecordedStep {
    try RecordedStep(self, cache, queryHeads: queryHeads, tokens: tokens, elementType, options)
  }
}

/// What a recorded step keeps between its replays: where results go, and on a device its own kernels with the arguments that
/// they have.
final class DecodeRecording {
  let output: DeviceTensor
  let logSumExp: DeviceTensor
  var kernels: DecodeKernels?
  /// What the kernels' arguments were set for.
  var arguments: Arguments?

  struct Arguments: Equatable {
    let shape: DecodeShape
    let tables: DecodeTables
    let mostRows: Int
    let parts: Int
    let scratch: [ObjectIdentifier]
  }

  init(output: DeviceTensor, logSumExp: DeviceTensor) {
    self.output = output
    self.logSumExp = logSumExp
  }
}
