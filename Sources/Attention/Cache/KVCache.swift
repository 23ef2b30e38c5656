/// Keys and values of sequences that grow, kept where attention reads them: on the engine's device.
///
/// ```swift
/// let cache = try engine.makeKVCache(heads: 8, headDimension: 128, storage: .float16)
/// try cache.append(key: prompt.key, value: prompt.value)
/// let output = try engine.scaledDotProductAttention(query: query, cache: cache)
/// ```
///
/// Rows are kept in blocks, which a table lists for each sequence: appending writes the new rows alone and moves nothing, a
/// fork shares all blocks until one of the two writes to them, and blocks that nobody lists are used again.
///
/// A cache is changed by one thread at a time; its forks are caches of their own.
public final class KVCache {
  /// What a cache is made with.
  public struct Options: Sendable, Hashable, Codable {
    /// How keys and values are kept.
    public var storage = KVCacheStorage.float32
    /// `Dv`; that of the keys where it is nil.
    public var valueDimension: Int?
    /// Whether the values are the first `Dv` elements of the keys (a latent that both share, as in DeepSeek's MLA): they are
    /// kept and read once, and `append` takes keys alone.
    public var valuesAreKeys = false
    /// Tokens of a block: a power of two.
    public var blockLength = 64
    /// The most blocks for all sequences and forks; nil is what the device has memory for.
    public var blockLimit: Int?
    /// Keys are rotated as they are appended, and queries as they are asked with.
    public var rotary: RotaryEmbedding?
    /// Keeps memory constant: the first `sinks` tokens and the last `window` (Xiao et al., StreamingLLM). Tokens between are
    /// forgotten; those that are kept count as neighbours, for masks and rotary positions too.
    public var rolling: Rolling?

    /// What a rolling cache keeps.
    public struct Rolling: Sendable, Hashable, Codable {
      public var sinks: Int
      public var window: Int

      public init(sinks: Int, window: Int) {
        self.sinks = sinks
        self.window = window
      }
    }

    public init() {}
  }

  /// `Hkv` and `D`, `Dv`.
  public let heads: Int
  public let headDimension: Int
  public let valueDimension: Int
  public let options: Options

  package let pool: KVBlockPool
  let engine: AttentionEngine
  var sequences: [Sequence]

  /// One batch entry. Key `j` is in slot `j`, or `j + hole` past the sinks; slots fill blocks in order.
  struct Sequence {
    var blocks: [Int] = []
    var length = 0
    /// Slots between the sinks and the keys that follow, whose keys have been forgotten.
    var hole = 0
    /// Tokens that have been forgotten: what positions of queries and new keys are further on than their index.
    var forgotten = 0
    /// The sinks' keys as they came, unrotated, head by head: their positions move with the window.
    var sinkKeys: [[Float]] = []

    /// The slot of key `j`.
    func slot(_ j: Int, sinks: Int) -> Int { j < sinks ? j : j + hole }
  }

  init(
    batch: Int, heads: Int, headDimension: Int, valueDimension: Int, options: Options, pool: KVBlockPool,
    engine: AttentionEngine
  ) {
    self.heads = heads
    self.headDimension = headDimension
    self.valueDimension = valueDimension
    self.options = options
    self.pool = pool
    self.engine = engine
    sequences = Array(repeating: Sequence(), count: batch)
  }

  init(sharing other: KVCache) {
    heads = other.heads
    headDimension = other.headDimension
    valueDimension = other.valueDimension
    options = other.options
    pool = other.pool
    engine = other.engine
    sequences = other.sequences
    for sequence in sequences { pool.share(sequence.blocks) }
  }

  deinit {
    for sequence in sequences { pool.release(sequence.blocks) }
  }

  // MARK: Lengths

  /// Sequences.
  public var batch: Int { sequences.count }

  /// Keys of each sequence that attention sees.
  public var lengths: [Int] { sequences.map(\.length) }

  /// Tokens that each sequence has had, those included that a rolling cache has forgotten: the position of the next.
  public var positions: [Int] { sequences.map { $0.length + $0.forgotten } }

  /// Sinks of a rolling cache.
  var sinks: Int { options.rolling?.sinks ?? 0 }

  /// Bytes of memory that the cache and its forks take together.
  public var allocatedBytes: Int { pool.store.allocatedBytes }

  // MARK: Appending

  /// Appends rows to every sequence.
  ///
  /// - Parameters:
  ///   - key: `[B, Hkv, n, D]` in layout `bhsd`, `[B, n, Hkv, D]` in `bshd`; float32, float16 or bfloat16.
  ///   - value: `[B, Hkv, n, Dv]`, likewise; nil where values are keys.
  ///   - layout: How the dimensions of both lie: `bhsd` or `bshd`.
  ///   - lengths: `[B]`: sequence `b` gets its first `lengths[b]` rows; all of them where it is nil.
  ///   - positions: `[B][n]`: where the keys are rotated to; after the sequence's last token where it is nil.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)``, ``AttentionError/outOfBlocks(needed:available:)`` and
  ///   the device's errors; the cache is as it was then.
  /// - Complexity: O(n), whatever the cache holds.
  public func append(
    key: Tensor, value: Tensor?, layout: TensorLayout = .bhsd, lengths: [Int]? = nil, positions: [[Int]]? = nil
  ) throws {
    try append(.host(key), value.map(KVRows.host), layout, lengths, positions)
  }

  /// As ``append(key:value:layout:lengths:positions:)``, of rows that are on the device.
  public func append(
    key: DeviceTensor, value: DeviceTensor?, layout: TensorLayout = .bhsd, lengths: [Int]? = nil,
    positions: [[Int]]? = nil
  ) throws {
    try append(.device(key), value.map(KVRows.device), layout, lengths, positions)
  }
}
