/// Some queries with the keys that they see, which are packed for them alone, so that they are still in a cache when they are read:
/// by one worker of the CPU backend, of the heads that share a key/value head; on an OpenCL device of all heads (`FusedCPUTiles.parts`).
///
/// ```
///             keys ───────────►                    a window, in three parts
///   queries  ┌──────┐
///      │     │░░    │ part 0                       ░  packed for the part;
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
