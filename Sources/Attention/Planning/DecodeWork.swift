/// The keys `keys` of a sequence stand one after the other from `place` on, in the blocks that the table lists from `entry`
/// on.
struct KeySegment: Sendable, Equatable {
  var keys: Range<Int>
  var entry: Int
  var place: Int
}

/// One sequence of a decode step: where its keys are, and which of them its queries see.
struct DecodeSequence: Sendable, Equatable {
  var segments: [KeySegment]
  /// The keys that some query sees by position.
  var visible: Range<Int>
  /// The sequence's key length, which decides where its pieces end.
  var keyLength: Int
}

/// The pieces that the keys of some sequences are cut into: at fixed keys, so that a sequence's result does not depend on
/// what is computed beside it, and where the keys do not follow one another.
struct DecodeCuts: Sendable, Equatable {
  /// A piece, and the neighbouring sequences that have it: a prefix that they share is read once.
  fileprivate struct Piece: Sendable, Equatable {
    let keys: KeySegment
    let sequences: Range<Int>
    /// The partial result of the first of them, among those of all; nil where this is all that they see, and so needs no
    /// merging.
    let partial: Int?
  }
  /// A sequence that sees nothing has one of no keys, which writes that.
  fileprivate private(set) var pieces: [Piece] = []
  /// For each sequence, its partial results in order.
  fileprivate private(set) var partials: [[Int]]
  fileprivate private(set) var partialCount = 0

  /// - Parameter table: The blocks that the sequences' segments lie in, of `blockRows` rows.
  init(_ sequences: [DecodeSequence], table: [Int64], blockRows: Int, _ split: DecodeSplit) {
    let cuts = sequences.map { Self.cut($0, blockRows, split) }
    partials = cuts.map { _ in [] }
    // Of each index, the end of the sequences whose piece is there already.
    var ends = Array(repeating: 0, count: cuts.map(\.count).max() ?? 0)
    for b in cuts.indices {
      for (index, keys) in cuts[b].enumerated() {
        guard b >= ends[index] else { continue }
        func isShared(_ later: Int) -> Bool {
          cuts[later].indices.contains(index)
            && Self.same(cuts[later - 1][index], cuts[later][index], table: table, blockRows: blockRows)
        }
        let end = cuts.indices[(b + 1)...].first { !isShared($0) } ?? cuts.count
        ends[index] = end
        let alone = cuts[b..<end].allSatisfy { $0.count == 1 }
        pieces.append(Piece(keys: keys, sequences: b..<end, partial: alone ? nil : partialCount))
        guard !alone else { continue }
        for sequence in b..<end {
          partials[sequence].append(partialCount)
          partialCount += 1
        }
      }
    }
  }

  private static func cut(_ sequence: DecodeSequence, _ blockRows: Int, _ split: DecodeSplit) -> [KeySegment] {
    let length = split.pieceKeys(keyLength: sequence.keyLength)
    var pieces: [KeySegment] = []
    for segment in sequence.segments {
      let range = segment.keys.clamped(to: sequence.visible)
      var begin = range.lowerBound
      while begin < range.upperBound {
        let end = min(range.upperBound, (begin / length + 1) * length)
        let place = segment.place + begin - segment.keys.lowerBound
        pieces.append(
          KeySegment(keys: begin..<end, entry: segment.entry + place / blockRows, place: place % blockRows))
        begin = end
      }
    }
    return pieces.isEmpty ? [KeySegment(keys: 0..<0, entry: 0, place: 0)] : pieces
  }

  /// Whether two pieces are the same keys in the same memory.
  private static func same(_ left: KeySegment, _ right: KeySegment, table: [Int64], blockRows: Int) -> Bool {
    guard left.keys == right.keys, !left.keys.isEmpty, left.place == right.place else { return false }
    let blocks = (left.place + left.keys.count).tiles(of: blockRows)
    return table[left.entry..<left.entry + blocks] == table[right.entry..<right.entry + blocks]
  }
}

/// The work of a decode step, as the kernels read it: which piece of which keys meets which rows of queries, and how the
/// pieces of a row are merged. Made of lengths alone, without a device.
struct DecodeWork: Sendable, Equatable {
  private(set) var pieces: [PieceRecord] = []
  private(set) var merges: [MergeRecord] = []
  private(set) var parts: [Int32] = []
  /// Rows of partial results: an output, a maximum and a sum each.
  private(set) var partialRows = 0
  /// Rows of queries of the largest piece.
  private(set) var mostRows = 1

  /// Adds the heads that share one key/value head, of all sequences of `cuts`.
  ///
  /// - Parameters:
  ///   - head: The record of the first sequence's first head; `heads` follow one another, and those of the next sequence
  ///     are `headsOfSequence` further on.
  ///   - queries: Queries of a head; a sequence may have fewer.
  mutating func add(
    _ cuts: DecodeCuts, head: Int, heads: Int, headsOfSequence: Int = 0, queries: Int, rowsOfPiece: Int
  ) {
    let rowsOfSequence = heads * queries
    for piece in cuts.pieces {
      let rows = piece.sequences.count * rowsOfSequence
      for first in stride(from: 0, to: rows, by: rowsOfPiece) {
        let own = min(rowsOfPiece, rows - first)
        mostRows = max(mostRows, own)
        pieces.append(
          PieceRecord(
            head: Int32(head + piece.sequences.lowerBound * headsOfSequence), firstRow: Int32(first), rows: Int32(own),
            begin: Int32(piece.keys.keys.lowerBound), end: Int32(piece.keys.keys.upperBound),
            table: Int32(piece.keys.entry), place: Int32(piece.keys.place),
            partial: piece.partial.map { Int32(partialRows + $0 * rowsOfSequence) } ?? -1))
      }
    }
    for (b, partials) in cuts.partials.enumerated() where !partials.isEmpty {
      for h in 0..<heads {
        merges.append(
          MergeRecord(
            head: Int32(head + b * headsOfSequence + h), first: Int32(parts.count), count: Int32(partials.count)))
        for partial in partials { parts.append(Int32(partialRows + partial * rowsOfSequence + h * queries)) }
      }
    }
    partialRows += cuts.partialCount * rowsOfSequence
  }
}

/// The mirror of `Piece` in Kernels/key_value_rows.cl.
struct PieceRecord: BitwiseCopyable, Sendable, Equatable {
  var head: Int32
  var firstRow: Int32
  var rows: Int32
  var begin: Int32
  var end: Int32
  var table: Int32
  var place: Int32
  var partial: Int32
}

/// The mirror of `Merge` in Kernels/merge.cl.
struct MergeRecord: BitwiseCopyable, Sendable, Equatable {
  var head: Int32
  var first: Int32
  var count: Int32
  var padding: Int32 = 0
}

/// What the work of a step over a cache follows from. Layers of a model have it in common, and so it is made for the first alone.
struct DecodeWorkRequest: Sendable, Equatable {
  let sequences: [DecodeSequence]
  /// Their blocks, where sequences may share some.
  let table: [Int64]
  let blockRows: Int
  let split: DecodeSplit
  let keyValueHeads: Int
  let groupSize: Int
  let queries: Int
  let rowsOfPiece: Int

  init(
    _ problem: AttentionProblem, _ sequences: [DecodeSequence], table: [Int64], blockRows: Int, rowsOfPiece: Int,
    on device: DeviceProfile
  ) {
    self.sequences = sequences
    self.table = sequences.count > 1 ? table : []
    self.blockRows = blockRows
    split = DecodeSplit(keyValueHeads: problem.keyValueHeads, on: device)
    keyValueHeads = problem.keyValueHeads
    groupSize = problem.groupSize
    queries = problem.queryLength
    self.rowsOfPiece = rowsOfPiece
  }

  var work: DecodeWork {
    let cuts = DecodeCuts(sequences, table: table, blockRows: blockRows, split)
    var work = DecodeWork()
    for g in 0..<keyValueHeads {
      work.add(
        cuts, head: g * groupSize, heads: groupSize, headsOfSequence: keyValueHeads * groupSize, queries: queries,
        rowsOfPiece: rowsOfPiece)
    }
    return work
  }
}
