/// One batch entry of a problem: its lengths, where it stands, and which keys its queries see by position.
///
/// By position, query `i` sees the keys `max(0, i + firstShift) ..< min(keyLength, i + endShift)`; causal masks, windows,
/// offsets and key lengths are all folded into these three numbers. A mask tensor or a block mask may hide more.
public struct AttentionSequence: Sendable, Equatable {
  /// `Lq` of this entry.
  public let queryLength: Int
  /// Keys before the key length, past keys included.
  public let keyLength: Int
  /// The position of query 0 among the keys.
  public let offset: Int

  package let firstShift: Int
  package let endShift: Int
  /// The first row in the query (and output) and in the key and value tensors; 0 but for packed sequences.
  package let queryStart: Int
  package let keyStart: Int

  /// Stands for "no limit"; every length and offset is smaller, so that sums stay within 32 bits.
  package static let unlimited = 1 << 30

  package init(
    queryLength: Int, keyLength: Int, queryStart: Int = 0, keyStart: Int = 0, mask: AttentionMask
  ) {
    self.queryLength = queryLength
    self.keyLength = keyLength
    self.queryStart = queryStart
    self.keyStart = keyStart
    offset = mask.queryOffset ?? (mask.causal == .upperLeft ? 0 : keyLength - queryLength)
    let left = min(mask.windowLeft ?? Self.unlimited, Self.unlimited)
    let right = min(mask.windowRight ?? Self.unlimited, Self.unlimited)
    firstShift = left == Self.unlimited ? -Self.unlimited : max(offset - left, -Self.unlimited)
    let last = mask.causal == nil ? right : 0
    endShift = last == Self.unlimited ? Self.unlimited : min(offset + last + 1, Self.unlimited)
  }

  /// The same queries to some of the keys, all that any of them sees: key 0 is then the first of `keys`.
  package init(_ sequence: AttentionSequence, keeping keys: Range<Int>) {
    queryLength = sequence.queryLength
    keyLength = keys.count
    queryStart = sequence.queryStart
    keyStart = sequence.keyStart
    offset = sequence.offset - keys.lowerBound
    let (first, end) = (sequence.firstShift, sequence.endShift)
    firstShift = first == -Self.unlimited ? first : first - keys.lowerBound
    endShift = end == Self.unlimited ? end : end - keys.lowerBound
  }

  /// The keys that query `i` sees by position.
  package func visibleKeys(query i: Int) -> Range<Int> {
    let first = max(0, i + firstShift)
    return first..<max(first, min(keyLength, i + endShift))
  }

  /// The keys that some query of a range, which is not empty, sees by position: each sees one more at either end.
  package func visibleKeys(queries: Range<Int>) -> Range<Int> {
    let first = max(0, queries.lowerBound + firstShift)
    return first..<max(first, min(keyLength, queries.upperBound - 1 + endShift))
  }

  /// The number of (query, key) pairs that are visible by position.
  package var visiblePairs: Int {
    if firstShift == -Self.unlimited && endShift == Self.unlimited { return queryLength * keyLength }
    return (0..<queryLength).reduce(0) { $0 + visibleKeys(query: $1).count }
  }
}
