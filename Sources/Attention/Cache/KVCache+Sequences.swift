extension KVCache {
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
    let kept = slots.tiles(of: options.blockLength)
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

  /// Where each sequence's keys are: its blocks, one table after the other, and its segments.
  func layout(visible: (Int) -> Range<Int>) -> (blocks: [Int], sequences: [DecodeSequence]) {
    var blocks: [Int] = []
    let layouts = sequences.enumerated().map { b, sequence in
      let sinks = sequence.hole == 0 ? 0 : min(self.sinks, sequence.length)
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
