import Attention
import AttentionTestSupport
import Testing

/// What a cache should hold, as plain arrays.
struct CacheModel {
  /// Rows by sequence and head.
  var keys: [[[[Float]]]]
  var values: [[[[Float]]]]
  private let keyFormat: KVRowFormat
  private let valueFormat: KVRowFormat
  private var numbers = SeededNumbers(seed: 11)

  init(_ cache: KVCache) {
    let empty = Array(repeating: Array(repeating: [[Float]](), count: cache.heads), count: cache.batch)
    keys = empty
    values = empty
    keyFormat = KVRowFormat(cache.options.storage, width: cache.headDimension)
    valueFormat = KVRowFormat(cache.options.storage, width: cache.valueDimension)
  }

  /// Appends the same seeded rows to the cache and to the arrays, there as the cache's storage keeps them.
  mutating func append(
    _ count: Int, _ lengths: [Int], _ type: ElementType, _ layout: TensorLayout, to cache: KVCache
  ) throws {
    func shape(_ width: Int) -> [Int] {
      layout == .bhsd ? [cache.batch, cache.heads, count, width] : [cache.batch, count, cache.heads, width]
    }
    let key = try numbers.tensor(shape(cache.headDimension), type)
    let value = try numbers.tensor(shape(cache.valueDimension), type)
    try cache.append(key: key, value: value, layout: layout, lengths: lengths)
    let (keyRows, valueRows) = (Self.rows(key), Self.rows(value))
    for (b, length) in lengths.enumerated() {
      for h in 0..<cache.heads {
        for i in 0..<length {
          let row = Self.index(key.shape, layout, b, h, i)
          keys[b][h].append(keyFormat.rounded(Array(keyRows[row])))
          values[b][h].append(valueFormat.rounded(Array(valueRows[row])))
        }
      }
    }
  }

  mutating func truncate(to length: Int) {
    for b in keys.indices { truncate(sequence: b, to: min(length, keys[b][0].count)) }
  }

  mutating func truncate(sequence b: Int, to length: Int) {
    for h in keys[b].indices {
      keys[b][h].removeLast(keys[b][h].count - length)
      values[b][h].removeLast(values[b][h].count - length)
    }
  }

  /// The second sequence becomes the first.
  mutating func share() {
    keys[1] = keys[0]
    values[1] = values[0]
  }

  static func row(_ tensor: Tensor, _ layout: TensorLayout, _ b: Int, _ h: Int, _ i: Int) -> [Float] {
    Array(rows(tensor)[index(tensor.shape, layout, b, h, i)])
  }

  private static func index(_ shape: [Int], _ layout: TensorLayout, _ b: Int, _ h: Int, _ i: Int) -> Int {
    let (heads, rows) = layout == .bhsd ? (shape[1], shape[2]) : (shape[2], shape[1])
    return layout == .bhsd ? (b * heads + h) * rows + i : (b * rows + i) * heads + h
  }

  /// The rows along the last dimension.
  private static func rows(_ tensor: Tensor) -> [ArraySlice<Float>] {
    let (elements, width) = (tensor.floats(), tensor.shape[3])
    return stride(from: 0, to: elements.count, by: width).map { elements[$0..<$0 + width] }
  }

  /// Holds attention over the cache to float64 attention over the arrays.
  mutating func check(
    _ cache: KVCache, _ engine: AttentionEngine, queries: Int, heads: Int, _ type: ElementType = .float32,
    _ layout: TensorLayout = .bhsd, _ change: (inout CacheAttentionOptions) throws -> Void = { _ in },
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    #expect(cache.lengths == keys.map { $0[0].count }, sourceLocation: sourceLocation)
    let shape =
      layout == .bhsd
      ? [cache.batch, heads, queries, cache.headDimension] : [cache.batch, queries, heads, cache.headDimension]
    let query = try numbers.tensor(shape, type)
    var options = CacheAttentionOptions(layout: layout)
    try change(&options)
    let found = try engine.attention(query: query, cache: cache, options)
    let call = try call(cache, query, options)
    let expected = try TestDevice.reference.engine().attention(call)
    let rounding = 2 * type.unitRoundoff * Double(expected.output?.floats().map(abs).max() ?? 0)
    #expect(
      mismatch("output", try found.output.converted(to: .float32), expected.output, Bound(rounding + 1e-5)) == nil,
      sourceLocation: sourceLocation)
    #expect(
      mismatch("log-sum-exp", found.logSumExp, expected.logSumExp, Bound(1e-5, growsWithMagnitude: true)) == nil,
      sourceLocation: sourceLocation)
  }

  /// The arrays as a call in float32.
  private func call(_ cache: KVCache, _ query: Tensor, _ options: CacheAttentionOptions) throws -> AttentionCall {
    let length = keys.map { $0[0].count }.max() ?? 0
    func tensor(_ rows: [[[[Float]]]], _ width: Int) throws -> Tensor {
      func padded(_ rows: [[Float]]) -> [Float] {
        rows.flatMap { $0 } + [Float](repeating: 0, count: (length - rows.count) * width)
      }
      let (B, H) = (cache.batch, cache.heads)
      guard options.layout == .bshd else {
        return try Tensor(rows.flatMap { $0.flatMap(padded) }, shape: [B, H, length, width])
      }
      let elements = rows.flatMap { heads in
        (0..<length).flatMap { j in heads.flatMap { j < $0.count ? $0[j] : [Float](repeating: 0, count: width) } }
      }
      return try Tensor(elements, shape: [B, length, H, width])
    }
    var call = AttentionCall(
      query: try query.converted(to: .float32), key: try tensor(keys, cache.headDimension),
      value: try tensor(values, cache.valueDimension), layout: options.layout)
    call.keyLengths = keys.map { $0[0].count }
    call.mask = options.mask
    call.scale = options.scale
    call.softcap = options.softcap
    call.alibiSlopes = options.alibiSlopes
    call.sinks = options.sinks
    call.returning = [.output, .logSumExp]
    return call
  }
}

extension KVRowFormat {
  /// A row as it comes out of the storage.
  func rounded(_ row: [Float]) -> [Float] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    row.withUnsafeBufferPointer { row in bytes.withUnsafeMutableBytes { encode(row, to: $0) } }
    return bytes.withUnsafeBytes { decode($0) }
  }
}
