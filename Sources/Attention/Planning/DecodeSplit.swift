/// How the keys of a sequence are cut into pieces that are read side by side. It follows from the sequence's length, the
/// heads of the model and the device, and so a result does not depend on what is computed beside it.
package struct DecodeSplit: Sendable, Hashable {
  private let keyValueHeads: Int
  private let computeUnits: Int
  private let isCPU: Bool

  package init(keyValueHeads: Int, on device: DeviceProfile) {
    self.keyValueHeads = max(1, keyValueHeads)
    computeUnits = device.units
    isCPU = device.deviceClass == .cpu
  }

  /// Keys of a piece.
  ///
  /// On a GPU: the smallest of the powers of two that leaves a compute unit no more than 8 pieces, and a head no more than
  /// 256. A unit runs about four side by side, so that 4 to 8 keep it busy, and the last ones do not wait long for one
  /// another. On a CPU: of the powers of two, what is done first by a count in keys, those that a core reads in the time
  /// that something takes.
  ///
  /// ```
  /// time = rounds · (keys + start of a piece) + merging, where there is more than one piece
  /// ```
  ///
  /// Longer pieces would often be as good, but sequences that share a prefix read it once only where they have whole pieces
  /// in common.
  package func pieceKeys(keyLength: Int) -> Int {
    guard isCPU else {
      let most = min(Self.mostPiecesOnGPU, max(1, Self.piecesOfUnit * computeUnits / keyValueHeads))
      var keys = Self.shortestKeysOnGPU
      while keys * most < keyLength { keys *= 2 }
      return keys
    }
    var longest = Self.longestKeys
    while longest * Self.mostPieces < keyLength { longest *= 2 }
    let candidates = sequence(first: longest) { $0 > Self.shortestKeys ? $0 / 2 : nil }
    return candidates.min { time($0, keyLength) < time($1, keyLength) } ?? longest
  }

  /// The most pieces of one key/value head.
  package func pieces(keyLength: Int) -> Int {
    let keys = pieceKeys(keyLength: keyLength)
    return max(1, keyLength.tiles(of: keys))
  }

  private static let shortestKeysOnGPU = 64
  private static let mostPiecesOnGPU = 256
  /// Groups of a GPU's compute unit.
  private static let piecesOfUnit = 8

  private static let shortestKeys = 128
  /// Of sequences that do not need more than ``mostPieces``.
  private static let longestKeys = 512
  private static let mostPieces = 64
  /// What it takes to unpack a piece's queries and to write its partial result.
  private static let startOfPiece = 24
  /// A second kernel: some 30 µs, in which a core reads 512 keys of 64 + 64 float32 numbers.
  private static let merging = 512

  private func time(_ keys: Int, _ keyLength: Int) -> Int {
    let pieces = max(1, keyLength.tiles(of: keys))
    let rounds = (pieces * keyValueHeads).tiles(of: computeUnits)
    return rounds * (min(keys, keyLength) + Self.startOfPiece) + (pieces > 1 ? Self.merging : 0)
  }
}
