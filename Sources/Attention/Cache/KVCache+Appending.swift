extension KVCache {
  /// Appends rows from the host or the device. What may fail works on copies: an error leaves the cache as it was.
  func append(
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
      try pool.store.append(
        tokens, key: key, value: value,
        headStrides: (strides.headStride * headDimension, strides.headStride * valueDimension),
        angles: options.rotary.map { RotaryAngles(embedding: $0, values: $0.angles(at: angles)) })
      // Sinks that have come with what makes the cache roll move too.
      for move in moved { try move(pool.store) }
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
      let (full, end) = (sinks.tiles(of: length), (sinks + sequence.hole) / length)
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
    for block in begin / length..<max(begin / length, min(sequence.blocks.count, end.tiles(of: length))) {
      try change.own(&sequence.blocks[block])
    }
    let needed = end.tiles(of: length) - sequence.blocks.count
    if needed > 0 { sequence.blocks += try change.take(needed) }
    return skipped
  }

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
      for block in 0..<rows.count.tiles(of: options.blockLength) {
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
}
