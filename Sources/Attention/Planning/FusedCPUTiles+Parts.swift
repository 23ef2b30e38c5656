extension FusedCPUTiles {
  /// Packed keys and values that a processor's last cache has room for, beside what else goes through it.
  private static let partBytes = 4 << 20

  /// Where heads see narrow windows, all the same ones: parts of their queries, the keys of each packed in the place of the last one's,
  /// so that they are in a cache when they are read.
  ///
  /// ```
  ///   pack keys of part 0 → attention of its queries → pack keys of part 1 → …         (of all heads at once)
  /// ```
  package func parts(_ problem: AttentionProblem, heads: Range<Int>) -> [CPUPart]? {
    let groups = problem.groups(of: heads)
    let tileBytes = 4 * groups.count * (packedKeyWords(keys: 1, problem) + packedValueWords(keys: 1, problem))
    func parts(batch: Int) -> [CPUPart]? {
      problem.sequences[batch].parts(
        tileRows: tileRows, tileKeys: tileKeys, mostKeys: Self.partBytes / max(1, tileBytes) * tileKeys)
    }
    guard let batch = groups.first?.batch, let first = parts(batch: batch) else { return nil }
    return Set(groups.map(\.batch)).allSatisfy { parts(batch: $0) == first } ? first : nil
  }
}
