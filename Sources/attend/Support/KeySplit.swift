import Attention

/// How the keys of a sequence are cut into pieces that are read side by side and merged, for each key/value head; as JSON,
/// the names in snake case.
struct KeySplit: Encodable, Hashable {
  /// Keys of the sequence.
  let keyLength: Int
  /// Pieces with a key that some query sees by position.
  let pieces: Int
  /// Keys of a piece; the last may have fewer.
  let pieceKeys: Int

  private init(_ sequence: AttentionSequence, pieceKeys: Int) {
    keyLength = sequence.keyLength
    self.pieceKeys = pieceKeys
    pieces = sequence.packedKeys(tile: pieceKeys).count.tiles(of: pieceKeys)
  }

  /// Those of a part of a plan, equal ones once; none where it does not decode, or on a GPU that is not here: they follow from
  /// the number of its compute units.
  static func of(_ part: AttentionPlan.Part, _ problem: AttentionProblem) -> [KeySplit] {
    guard !DeviceProfile.gpuModels.contains(part.device) else { return [] }
    return switch part.work {
    case .reference: []
    case .cpu(let plan):
      unique(plan.blocks.filter { $0.pass == .decode }.map(\.heads), problem) { _ in plan.tileKeys }
    case .kernels(let plan):
      plan.tiles.kernel == .decode ? unique([part.heads], problem) { plan.split.pieceKeys(keyLength: $0) } : []
    }
  }

  /// Of the sequences that ranges of heads belong to.
  private static func unique(
    _ heads: [Range<Int>], _ problem: AttentionProblem, pieceKeys: (_ keyLength: Int) -> Int
  ) -> [KeySplit] {
    var splits: [KeySplit] = []
    var seen: Set<KeySplit> = []
    for heads in heads where !heads.isEmpty {
      for b in heads.lowerBound / problem.queryHeads...(heads.upperBound - 1) / problem.queryHeads {
        let sequence = problem.sequences[b]
        let split = KeySplit(sequence, pieceKeys: pieceKeys(sequence.keyLength))
        if seen.insert(split).inserted { splits.append(split) }
      }
    }
    return splits
  }

  var text: String { "\(keyLength) in \(Quantity.count(pieces, "piece")) of \(pieceKeys)" }
}

extension [KeySplit] {
  /// A line, where there are any.
  var text: String? { isEmpty ? nil : "keys of a head: " + map(\.text).joined(separator: ", ") }
}
