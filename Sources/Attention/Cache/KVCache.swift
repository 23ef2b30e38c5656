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
  private var sequences: [Sequence]

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

  private init(sharing other: KVCache) {
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

  private func append(
    _ key: KVRows, _ value: KVRows?, _ layout: TensorLayout, _ lengths: [Int]?, _ positions: [[Int]]?
  ) throws {
    let rows = try checkedRows(key, value, layout)
    let counts = try checked(lengths, rows: rows)
    try check(positions, counts)
    let strides = RowLayout(layout, heads: heads, rows: rows, width: 1)
    var changed = sequences
    var change = BlockChange(pool)
    do {
      var tokens: [KVToken] = []
      var angles: [Int] = []
      for (b, count) in counts.enumerated() {
        let position = changed[b].length + changed[b].forgotten
        let skipped = try makeRoom(for: count, in: &changed[b], &change)
        for i in 0..<count where !skipped.contains(i) {
          let slot = changed[b].slot(changed[b].length, sinks: sinks)
          let row = strides.offset(batch: b, head: 0, row: i)
          tokens.append(
            KVToken(
              key: row * headDimension, value: row * valueDimension,
              block: changed[b].blocks[slot / options.blockLength], place: slot % options.blockLength))
          angles.append(positions?[b][i] ?? position + i)
          changed[b].length += 1
        }
      }
      try keepSinks(key, layout, counts, &changed)
      let moved = try moveSinks(&changed, &change)
      try change.copyShared()
      for move in moved { try move(pool.store) }
      try pool.store.append(
        tokens, key: key, value: value,
        headStrides: (strides.headStride * headDimension, strides.headStride * valueDimension),
        angles: options.rotary.map { RotaryAngles(embedding: $0, values: $0.angles(at: angles)) })
    } catch {
      change.undo()
      throw error
    }
    sequences = changed
    change.keep()
  }

  /// Makes sure that `count` more keys have slots of their own in blocks that no fork sees. A rolling cache forgets for it
  /// the oldest keys past the sinks.
  ///
  /// - Returns: Which of the new keys are forgotten before they are stored.
  private func makeRoom(for count: Int, in sequence: inout Sequence, _ change: inout BlockChange) throws -> Range<Int> {
    guard count > 0 else { return 0..<0 }
    let length = options.blockLength
    var skipped = 0..<0
    if let rolling = options.rolling {
      // Of all keys, old and new, the sinks and the last `window` stay.
      let begin = sequence.length + count - rolling.window
      let old = max(0, min(sequence.length, begin) - sinks)
      let first = max(0, sinks - sequence.length)
      skipped = first..<max(first, begin - sequence.length)
      sequence.length -= old
      sequence.hole += old
      sequence.forgotten += old + skipped.count
      // Blocks that hold nothing but forgotten keys.
      let (full, end) = ((sinks + length - 1) / length, (sinks + sequence.hole) / length)
      if end > full {
        let last = min(end, sequence.blocks.count)
        change.leave(Array(sequence.blocks[min(full, last)..<last]))
        sequence.blocks.removeSubrange(min(full, last)..<last)
        sequence.hole -= (end - full) * length
      }
    }
    let stored = count - skipped.count
    guard stored > 0 else { return skipped }
    let begin = sequence.slot(sequence.length, sinks: sinks)
    let end = sequence.slot(sequence.length + stored - 1, sinks: sinks) + 1
    for block in begin / length..<max(begin / length, min(sequence.blocks.count, (end + length - 1) / length)) {
      try change.own(&sequence.blocks[block])
    }
    let needed = (end + length - 1) / length - sequence.blocks.count
    if needed > 0 { sequence.blocks += try change.take(needed) }
    return skipped
  }

  /// Sinks of a rolling cache.
  private var sinks: Int { options.rolling?.sinks ?? 0 }

  /// Keeps the sinks' keys as they came, where they will have to move: their positions are right before the window.
  private func keepSinks(
    _ key: KVRows, _ layout: TensorLayout, _ counts: [Int], _ changed: inout [Sequence]
  ) throws {
    guard options.rotary != nil, sinks > 0 else { return }
    let wanting = changed.indices.filter { sequences[$0].sinkKeys.count < sinks && counts[$0] > 0 }
    guard !wanting.isEmpty else { return }
    let (elements, shape) = (try key.tensor().floats(), key.shape)
    let rows = RowLayout(layout, heads: heads, rows: shape[layout == .bhsd ? 2 : 1], width: headDimension)
    for b in wanting {
      for i in 0..<min(counts[b], sinks - sequences[b].sinkKeys.count) {
        changed[b].sinkKeys.append(
          (0..<heads).flatMap { h in
            let start = rows.offset(batch: b, head: h, row: i)
            return elements[start..<start + headDimension]
          })
      }
    }
  }

  /// Stores the sinks of sequences that have forgotten keys anew, as many positions further on.
  private func moveSinks(
    _ changed: inout [Sequence], _ change: inout BlockChange
  ) throws -> [(any KVBlockStore) throws -> Void] {
    guard let rotary = options.rotary, sinks > 0 else { return [] }
    var moves: [(any KVBlockStore) throws -> Void] = []
    for b in changed.indices where changed[b].forgotten > sequences[b].forgotten {
      let rows = changed[b].sinkKeys
      for block in 0..<(rows.count + options.blockLength - 1) / options.blockLength {
        try change.own(&changed[b].blocks[block])
      }
      let blocks = changed[b].blocks
      let tokens = rows.indices.map { s in
        KVToken(
          key: s * heads * headDimension, value: 0, block: blocks[s / options.blockLength],
          place: s % options.blockLength)
      }
      let keys = try Tensor(rows.flatMap { $0 }, shape: [1, rows.count, heads, headDimension])
      let angles = RotaryAngles(
        embedding: rotary, values: rotary.angles(at: rows.indices.map { changed[b].forgotten + $0 }))
      let stride = headDimension
      moves.append { store in
        try store.append(tokens, key: .host(keys), value: nil, headStrides: (stride, 0), angles: angles)
      }
    }
    return moves
  }

  // MARK: Shortening and forking

  /// Forgets the keys of every sequence past its first `length`: tokens that were only tried, or an edited prompt.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a length below 0.
  public func truncate(to length: Int) throws {
    for b in sequences.indices { try truncate(sequence: b, to: min(length, sequences[b].length)) }
  }

  /// Forgets the keys of one sequence past its first `length`.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a sequence or a length that is not there.
  public func truncate(sequence b: Int, to length: Int) throws {
    try check(sequence: b)
    guard (0...sequences[b].length).contains(length) else {
      throw AttentionError.invalid(
        argument: "length", found: "\(length)", expected: "0 to the sequence's \(sequences[b].length)")
    }
    sequences[b].length = length
    if length <= sinks { sequences[b].hole = 0 }
    if length < sequences[b].sinkKeys.count { sequences[b].sinkKeys.removeLast(sequences[b].sinkKeys.count - length) }
    if length == 0 { sequences[b].forgotten = 0 }
    let slots = length + sequences[b].hole
    let kept = (slots + options.blockLength - 1) / options.blockLength
    guard kept < sequences[b].blocks.count else { return }
    pool.release(Array(sequences[b].blocks[kept...]))
    sequences[b].blocks.removeLast(sequences[b].blocks.count - kept)
  }

  /// A cache of the same contents, which shares this one's blocks until either writes to them.
  ///
  /// - Complexity: O(blocks); no row is copied.
  public func fork() -> KVCache { KVCache(sharing: self) }

  /// Makes other sequences of the batch begin as sequence `b` does: they share its blocks, and attention reads a prefix that
  /// neighbours share once for all of them.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a sequence that is not there.
  public func share(sequence b: Int, with others: Range<Int>) throws {
    try check(sequence: b)
    for other in others { try check(sequence: other) }
    for other in others where other != b {
      pool.share(sequences[b].blocks)
      pool.release(sequences[other].blocks)
      sequences[other] = sequences[b]
    }
  }

  // MARK: For the engine

  /// The bytes of a sequence's rows, head by head, and the sinks' keys that it moves: what is needed to make it anew.
  package func contents(of b: Int) throws -> Contents {
    try check(sequence: b)
    let (sequence, shape) = (sequences[b], pool.store.shape)
    var contents = Contents(
      length: sequence.length, forgotten: sequence.forgotten, sinkKeys: sequence.sinkKeys,
      key: [UInt8](repeating: 0, count: sequence.length * heads * shape.key.byteCount),
      value: [UInt8](repeating: 0, count: sequence.length * heads * (shape.value?.byteCount ?? 0)))
    var block: (index: Int, bytes: [UInt8]) = (-1, [])
    for j in 0..<sequence.length {
      let slot = sequence.slot(j, sinks: sinks)
      let index = sequence.blocks[slot / options.blockLength]
      if index != block.index { block = (index, try pool.store.read(block: index)) }
      for h in 0..<heads {
        shape.forEachPart { part, start, bytes in
          let from = start + (h * options.blockLength + slot % options.blockLength) * bytes
          let to = (h * sequence.length + j) * bytes
          contents[keyPath: part].replaceSubrange(to..<to + bytes, with: block.bytes[from..<from + bytes])
        }
      }
    }
    return contents
  }

  /// Puts a sequence's contents in the place of what it holds; they are of a cache of the same options.
  package func restore(_ contents: Contents, to b: Int) throws {
    try check(sequence: b)
    let (length, shape) = (options.blockLength, pool.store.shape)
    let rows = contents.length * heads
    guard contents.length >= 0, contents.length + contents.forgotten < AttentionSequence.unlimited,
      contents.forgotten >= 0, contents.key.count == rows * shape.key.byteCount,
      contents.value.count == rows * (shape.value?.byteCount ?? 0),
      contents.sinkKeys.allSatisfy({ $0.count == heads * headDimension }), contents.sinkKeys.count <= sinks
    else {
      throw AttentionError.invalid(
        argument: "cache", found: "\(contents.key.count) and \(contents.value.count) bytes for \(contents.length) keys",
        expected: "\(shape.key.byteCount) and \(shape.value?.byteCount ?? 0) bytes a row of \(heads) heads")
    }
    let blocks = try pool.take((contents.length + length - 1) / length)
    do {
      for (n, block) in blocks.enumerated() {
        var bytes = [UInt8](repeating: 0, count: shape.keyBytes + shape.valueBytes)
        for j in n * length..<min(contents.length, (n + 1) * length) {
          for h in 0..<heads {
            shape.forEachPart { part, start, size in
              let from = (h * contents.length + j) * size
              let to = start + (h * length + j % length) * size
              bytes.replaceSubrange(to..<to + size, with: contents[keyPath: part][from..<from + size])
            }
          }
        }
        try pool.store.write(block: block, bytes)
      }
    } catch {
      pool.release(blocks)
      throw error
    }
    pool.release(sequences[b].blocks)
    sequences[b] = Sequence(
      blocks: blocks, length: contents.length, hole: 0, forgotten: contents.forgotten, sinkKeys: contents.sinkKeys)
  }

  /// What a sequence holds, in the cache's storage.
  package struct Contents: Sendable, Equatable {
    package var length: Int
    package var forgotten: Int
    package var sinkKeys: [[Float]]
    /// `[heads][length]` rows.
    package var key: [UInt8]
    package var value: [UInt8]

    package init(length: Int, forgotten: Int, sinkKeys: [[Float]], key: [UInt8], value: [UInt8]) {
      self.length = length
      self.forgotten = forgotten
      self.sinkKeys = sinkKeys
      self.key = key
      self.value = value
    }
  }

  /// Where each sequence's keys are: its blocks, one table after the other, and its segments.
  func layout(visible: (Int) -> Range<Int>) -> (blocks: [Int], sequences: [DecodeSequence]) {
    var blocks: [Int] = []
    let layouts = sequences.enumerated().map { b, sequence in
      let sinks = sequence.hole == 0 ? 0 : min(options.rolling?.sinks ?? 0, sequence.length)
      var segments: [KeySegment] = []
      if sinks > 0 { segments.append(KeySegment(keys: 0..<sinks, entry: blocks.count, place: 0)) }
      if sequence.length > sinks {
        segments.append(
          KeySegment(keys: sinks..<sequence.length, entry: blocks.count, place: sinks + sequence.hole))
      }
      blocks += sequence.blocks
      return DecodeSequence(segments: segments, visible: visible(b), keyLength: sequence.length)
    }
    return (blocks, layouts)
  }
}

// MARK: Checks

extension KVCache {
  private func checkedRows(_ key: KVRows, _ value: KVRows?, _ layout: TensorLayout) throws -> Int {
    func form(_ rows: String, _ width: String) -> String {
      layout == .bhsd ? "[B, Hkv, \(rows), \(width)]" : "[B, \(rows), Hkv, \(width)]"
    }
    guard layout != .thd else {
      throw AttentionError.invalid(argument: "layout", found: "thd", expected: "bhsd or bshd")
    }
    let shape = key.shape
    let rowDimension = layout == .bhsd ? 2 : 1
    guard shape.count == 4 else {
      throw AttentionError.invalid(argument: "key", found: "shape \(shape)", expected: form("n", "D"))
    }
    let rows = shape[rowDimension]
    func expected(_ width: Int) -> [Int] {
      layout == .bhsd ? [batch, heads, rows, width] : [batch, rows, heads, width]
    }
    func check(_ rows: KVRows, named name: String, _ width: Int, _ letter: String) throws {
      guard rows.shape == expected(width) else {
        throw AttentionError.invalid(
          argument: name, found: "shape \(rows.shape)", expected: "\(form("n", letter)) = \(expected(width))")
      }
      guard rows.elementType.isAttentionStorage, rows.elementType == key.elementType else {
        throw AttentionError.invalid(
          argument: name, found: rows.elementType.rawValue,
          expected: name == "key" ? "F32, F16 or BF16" : "the key's type, \(key.elementType.rawValue)")
      }
    }
    try check(key, named: "key", headDimension, "D")
    guard (value == nil) == options.valuesAreKeys else {
      throw AttentionError.invalid(
        argument: "value", found: value == nil ? "none" : "a tensor",
        expected: options.valuesAreKeys ? "none: the values are the keys" : form("n", "Dv"))
    }
    if let value { try check(value, named: "value", valueDimension, "Dv") }
    return rows
  }

  private func checked(_ lengths: [Int]?, rows: Int) throws -> [Int] {
    let counts = lengths ?? Array(repeating: rows, count: batch)
    guard counts.count == batch, counts.allSatisfy({ (0...rows).contains($0) }) else {
      throw AttentionError.invalid(
        argument: "lengths", found: "\(counts)", expected: "[B] = [\(batch)] lengths of 0 to \(rows)")
    }
    for (sequence, count) in zip(sequences, counts)
    where sequence.length + sequence.hole + sequence.forgotten + count >= AttentionSequence.unlimited {
      throw AttentionError.invalid(
        argument: "key", found: "\(sequence.length) and \(count) more keys", expected: "fewer than 2^30")
    }
    return counts
  }

  private func check(_ positions: [[Int]]?, _ counts: [Int]) throws {
    guard let positions else { return }
    guard options.rotary != nil else {
      throw AttentionError.invalid(argument: "positions", found: "some", expected: "none: the cache rotates nothing")
    }
    guard options.rolling == nil else {
      throw AttentionError.invalid(
        argument: "positions", found: "some", expected: "none: those of a rolling cache follow from what it keeps")
    }
    guard positions.count == batch, zip(positions, counts).allSatisfy({ $0.count >= $1 }) else {
      throw AttentionError.invalid(
        argument: "positions", found: "\(positions.map(\.count)) positions", expected: "\(counts) or more")
    }
  }

  private func check(sequence b: Int) throws {
    guard sequences.indices.contains(b) else {
      throw AttentionError.invalid(argument: "sequence", found: "\(b)", expected: "0 to \(batch - 1)")
    }
  }
}

/// Blocks taken for a change of a cache, which is either kept or undone.
private struct BlockChange {
  private let pool: KVBlockPool
  private var taken: [Int] = []
  private var left: [Int] = []
  private var copies: [(from: Int, to: Int)] = []

  init(_ pool: KVBlockPool) { self.pool = pool }

  mutating func take(_ count: Int) throws -> [Int] {
    let blocks = try pool.take(count)
    taken += blocks
    return blocks
  }

  /// Puts a copy in the place of a block that another table lists too.
  mutating func own(_ block: inout Int) throws {
    guard pool.isShared(block) else { return }
    let copy = try take(1)[0]
    copies.append((block, copy))
    left.append(block)
    block = copy
  }

  /// Blocks that the change no longer needs.
  mutating func leave(_ blocks: [Int]) { left += blocks }

  func copyShared() throws {
    for copy in copies { try pool.store.copy(block: copy.from, to: copy.to) }
  }

  func undo() { pool.release(taken) }
  func keep() { pool.release(left) }
}
