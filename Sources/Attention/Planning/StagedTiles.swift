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
    depth * (4 * (tileRows + 4) + 4 * tileColumns + tileRows) + 64
  }

  /// Whether a device's limits admit these tiles.
  package func fit(_ device: DeviceProfile) -> Bool {
    isConsistent && groupItems <= device.maxWorkGroupSize && softmaxItems <= device.maxWorkGroupSize
      && localBytes <= device.localMemory
  }

  /// Whether the kernels can be built with these sizes at all, and no product of them overflows.
  private var isConsistent: Bool {
    let vectors = [4, 8, 16]
    guard vectors.contains(vector), vectors.contains(softmaxVector), (1...32).contains(groupX),
      (1...1024).contains(groupY), (1...16).contains(rows), (1...16).contains(columns), (4...1024).contains(depth),
      (1...1024).contains(softmaxItems), (1...1 << 20).contains(chunk)
    else { return false }
    // Loads are of fours, a row of scores is whole tiles of the product with the values and whole vectors, and the
    // reduction of the softmax is a tree.
    return depth % 4 == 0 && tileColumns % depth == 0 && tileColumns % softmaxVector == 0
      && chunk % softmaxVector == 0 && softmaxItems.nonzeroBitCount == 1
  }

  /// What to try on a class of device, best first: later rows ask for less local memory and fewer work-items.
  ///
  /// To tune for a device, add a row; the first that fits is taken.
  package static func candidates(for deviceClass: DeviceProfile.DeviceClass) -> [StagedTiles] {
    switch deviceClass {
    case .gpu: gpuRows
    case .cpu: cpuRows
    case .native, .reference: []
    }
  }

  // The tables, read once: planning is part of every call.
  private static let gpuRows = rows(.gpu)
  private static let cpuRows = rows(.cpu)

  private static func rows(_ deviceClass: DeviceProfile.DeviceClass) -> [StagedTiles] {
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
    self.init(sizes: tableRow.split(separator: " ").compactMap { Int($0) })
  }

  /// The sizes in the order of the table's columns.
  package var sizes: [Int] { [groupX, groupY, rows, columns, vector, depth, softmaxItems, softmaxVector, chunk] }

  package init?(sizes: [Int]) {
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
