/// The sizes that the decode kernels are built with. Kernels/decode_cpu.cl and decode_gpu.cl say what they mean.
public struct DecodeTiles: Sendable, Hashable {
  /// Work-items of a group; 1 is the kernel of CPU-class devices.
  public let items: Int
  /// Work-items that share a key.
  public let keyLanes: Int
  /// Floats of a vector.
  public let vector: Int
  /// Rows of queries that meet a key together.
  public let rows: Int
  /// Keys of a tile.
  public let tileKeys: Int
  /// Whether rows that are not float32 are unpacked in memory, once for all rows of queries.
  let unpacks: Bool

  var isCPU: Bool { items == 1 && vector > 1 }

  /// What to try, best first: later rows take less local memory and fewer work-items.
  ///
  /// - Parameter rows: Queries that share a key/value head.
  package static func candidates(for device: DeviceProfile, rows: Int) -> [DecodeTiles] {
    switch device.deviceClass {
    case .cpu:
      let vector = [4, 8, 16].last { $0 <= device.vectorWidth } ?? 4
      // Up to four rows meet a key together; where there are more, three if fewer rows are left empty.
      let chosen = rows <= 4 ? max(1, rows) : roundedUp(rows, to: 3) < roundedUp(rows, to: 4) ? 3 : 4
      // Keys and values of a tile of 32 rows of 512 bytes are as much as a first-level cache holds.
      return [32, 16].map {
        DecodeTiles(
          items: 1, keyLanes: 1, vector: vector, rows: chosen, tileKeys: $0, unpacks: rows > 2 * chosen)
      }
    case .gpu:
      let chosen = [1, 2, 4].last { $0 <= rows } ?? 1
      let table = """
        items keyLanes tileKeys
        128   8        64
        128   8        32
        32    4        16
        1     1        8
        """
      return table.split(separator: "\n").dropFirst().compactMap { row in
        let sizes = row.split(separator: " ").compactMap { Int($0) }
        guard sizes.count == 3 else { return nil }
        return DecodeTiles(items: sizes[0], keyLanes: sizes[1], vector: 1, rows: chosen, tileKeys: sizes[2])
      }
    case .native, .reference: return []
    }
  }

  /// What to try on a device for a call, best first, of what its limits admit.
  static func fitting(_ problem: AttentionProblem, _ device: DeviceProfile) -> [DecodeTiles] {
    candidates(for: device, rows: problem.groupSize * problem.queryLength).filter {
      $0.fit(device, headDimension: problem.headDimension, valueDimension: problem.valueDimension)
    }
  }

  init(items: Int, keyLanes: Int, vector: Int, rows: Int, tileKeys: Int, unpacks: Bool = false) {
    self.items = items
    self.keyLanes = keyLanes
    self.vector = vector
    self.rows = rows
    self.tileKeys = tileKeys
    self.unpacks = unpacks
  }

  /// Floats of local memory that a row of queries takes in the kernel of CPU-class devices: the query, its output, its
  /// scores, and four numbers.
  private func floatsOfRow(_ headDimension: Int, _ valueDimension: Int) -> Int {
    roundedUp(headDimension, to: vector) + roundedUp(valueDimension, to: vector) + tileKeys + 4
  }

  /// Rows of queries that a piece can have on a device; 0 where not even one block of rows fits.
  func rowsOfPiece(_ headDimension: Int, _ valueDimension: Int, localMemory: Int) -> Int {
    guard isCPU else { return rows }
    let fitting = localMemory / (4 * floatsOfRow(headDimension, valueDimension))
    return min(fitting, 64) / rows * rows
  }

  /// Bytes of local memory for a piece of some rows.
  func localBytes(rows: Int, _ headDimension: Int, _ valueDimension: Int) -> Int {
    guard !isCPU else { return 4 * roundedUp(rows, to: self.rows) * floatsOfRow(headDimension, valueDimension) }
    // A unit of a row is at most 8 elements (Kernels/units.cl), and the columns of a key are shared out by units: so many
    // keys at a time, and so often a tile, as Kernels/decode_gpu.cl counts them.
    let splits = min(tileKeys, max(1, items / ((valueDimension + 7) / 8)))
    // Of a row: its query, weights, five numbers of each split, its head, and six numbers.
    let ofRow =
      4 * roundedUp(headDimension, to: 8) + 4 * (tileKeys + splits) + 20 * splits + MemoryLayout<HeadRecord>.stride + 24
    // Its products, whose place is taken by units of columns in the end. Of a key: where its rows are, and the next value.
    // And where the buffers are.
    return self.rows * ofRow + max(4 * self.rows * tileKeys * keyLanes, 32 * items) + 24 * tileKeys
      + 16 * DecodeBuffers.sources + 64
  }

  /// Whether a device's limits admit these tiles.
  func fit(_ device: DeviceProfile, headDimension: Int, valueDimension: Int) -> Bool {
    items <= device.maxWorkGroupSize
      && rowsOfPiece(headDimension, valueDimension, localMemory: device.localMemory) >= rows
      && localBytes(rows: rows, headDimension, valueDimension) <= device.localMemory
  }
}

extension DecodeTiles: CustomStringConvertible {
  public var description: String {
    isCPU
      ? "\(rows) rows, vectors of \(vector), tiles of \(tileKeys) keys"
      : "\(items) items, \(keyLanes) a key, \(rows) rows, tiles of \(tileKeys) keys"
  }
}
