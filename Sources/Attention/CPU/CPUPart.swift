/// Some queries of the heads that share a key/value head, which one worker computes by itself: it packs the keys that they see in
/// memory of its own, where they are still at hand when they are read.
///
/// ```
///             keys ───────────►                    a window, in three parts
///   queries  ┌──────┐
///      │     │░░    │ part 0                       ░  packed by whoever computes the part;
///      ▼     │░░░   ├───┐                             a part's keys begin before those of its queries,
///            └─┐░░░ │   │ part 1                      and so some are packed twice
///              │ ░░░│░  ├─┐
/// ```
package struct CPUPart: Sendable, Equatable {
  package let queries: Range<Int>
  /// From a whole tile on, to the end of one or of the keys that are visible at all. So a tile is the same packed for a part as
  /// packed for all, and so are the bits of what is computed from it.
  package let keys: Range<Int>
}

extension AttentionSequence {
  /// Parts of whole tiles of queries, each as large as `mostKeys` packed keys allow; nil where that would pack the keys more than
  /// one and a half times, as it would all but narrow windows and short sequences.
  package func parts(tileRows: Int, tileKeys: Int, mostKeys: Int) -> [CPUPart]? {
    let all = packedKeys(tile: tileKeys)
    func keys(of queries: Range<Int>) -> Range<Int> {
      let visible = visibleKeys(queries: queries)
      guard !visible.isEmpty else { return all.lowerBound..<all.lowerBound }
      return visible.lowerBound / tileKeys * tileKeys..<min(all.upperBound, roundedUp(visible.upperBound, to: tileKeys))
    }
    var parts: [CPUPart] = []
    var packed = 0
    var first = 0
    while first < queryLength {
      var part = CPUPart(queries: first..<first, keys: 0..<0)
      while part.queries.upperBound < queryLength {
        let queries = first..<min(part.queries.upperBound + tileRows, queryLength)
        let keys = keys(of: queries)
        guard keys.count <= mostKeys else { break }
        part = CPUPart(queries: queries, keys: keys)
      }
      packed += part.keys.count
      guard !part.queries.isEmpty, packed <= all.count + all.count / 2 else { return nil }
      parts.append(part)
      first = part.queries.upperBound
    }
    return parts
  }
}
