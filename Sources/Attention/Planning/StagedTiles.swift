/// The sizes that the staged kernels are built with. Kernels/product.cl draws what they mean.
public struct StagedTiles: Sendable, Hashable {
  /// Work-items of a group across and down a tile.
  public let groupX: Int
  public let groupY: Int
  /// Rows, and vectors of `vector` columns, that a work-item holds in registers.
  public let rows: Int
  public let columns: Int
  public let vector: Int
  /// Depth of the tiles in local memory.
  public let depth: Int
  /// Work-items a row of the softmax, the vector each reads, and the keys of a chunk.
  public let softmaxItems: Int
  public let softmaxVector: Int
  public let chunk: Int

  public var tileRows: Int { groupY * rows }
  public var tileColumns: Int { groupX * columns * vector }
  public var groupItems: Int { groupX * groupY }

  /// Bytes of local memory that the largest of the kernels takes.
  public var localBytes: Int {
    depth * (4 * (tileRows + 1) + 4 * tileColumns + tileRows) + 64
  }

  /// Whether a device's limits admit these tiles.
  package func fit(_ device: DeviceProfile) -> Bool {
    groupItems <= device.maxWorkGroupSize && softmaxItems <= device.maxWorkGroupSize
      && localBytes <= device.localMemory
  }

  /// What to try on a class of device, best first: later rows ask for less local memory and fewer work-items.
  ///
  /// To tune for a device, add a row; the first that fits is taken. Rows × columns:
  package static func candidates(for deviceClass: DeviceProfile.DeviceClass) -> [StagedTiles] {
    let table: String =
      switch deviceClass {
      case .gpu:
        """
        groupX groupY rows columns vector depth softmaxItems softmaxVector chunk
        16     16     4    1       4      16    128          4             4096
        8      8      4    2       4      16    64           4             4096
        4      4      4    2       4      16    16           4             4096
        1      1      4    4       4      16    1            4             4096
        """
      case .cpu:
        """
        groupX groupY rows columns vector depth softmaxItems softmaxVector chunk
        1      16     4    4       16     64    1            16            4096
        1      16     4    4       16     32    1            16            4096
        1      8      4    4       16     16    1            16            4096
        1      1      4    2       8      16    1            8             4096
        """
      case .native, .reference: ""
      }
    return table.split(separator: "\n").dropFirst().compactMap(StagedTiles.init(tableRow:))
  }

  init(
    groupX: Int, groupY: Int, rows: Int, columns: Int, vector: Int, depth: Int, softmaxItems: Int, softmaxVector: Int,
    chunk: Int
  ) {
    self.groupX = groupX
    self.groupY = groupY
    self.rows = rows
    self.columns = columns
    self.vector = vector
    self.depth = depth
    self.softmaxItems = softmaxItems
    self.softmaxVector = softmaxVector
    self.chunk = chunk
  }

  private init?(tableRow: Substring) {
    let sizes = tableRow.split(separator: " ").compactMap { Int($0) }
    guard sizes.count == 9 else { return nil }
    self.init(
      groupX: sizes[0], groupY: sizes[1], rows: sizes[2], columns: sizes[3], vector: sizes[4], depth: sizes[5],
      softmaxItems: sizes[6], softmaxVector: sizes[7], chunk: sizes[8])
  }
}

extension StagedTiles: CustomStringConvertible {
  public var description: String {
    "\(tileRows)×\(tileColumns)×\(depth), \(groupX)×\(groupY) items of \(rows)×\(columns * vector), "
      + "softmax \(softmaxItems) items × \(softmaxVector), chunks of \(chunk)"
  }
}
