/// The sizes that the fused kernels of CPU-class devices are built with. Kernels/fused_cpu.cl draws what they mean, and
/// Kernels/fused_amx.cl where they multiply by AMX.
public struct FusedCPUTiles: Sendable, Hashable {
  /// Floats of a vector: what one register of the processor holds.
  public let vector: Int
  /// Rows, and vectors, that the micro-kernel accumulates in registers.
  public let rows: Int
  public let columns: Int
  /// Blocks of `rows` queries, and panels of `columns · vector` keys, of a tile.
  public let rowBlocks: Int
  public let keyPanels: Int
  /// How both products are computed: `none` by vectors.
  public let amx: AMX

  public var panel: Int { columns * vector }
  public var tileRows: Int { rows * rowBlocks }
  public var tileKeys: Int { panel * keyPanels }

  /// What to try, best first: later rows take less local memory, which is a cache's worth of it.
  ///
  /// Six rows of two vectors are twelve independent sums, enough to keep two multiply-add units busy, and with the two
  /// vectors of keys and a broadcast they leave one of AVX2's sixteen registers. Processors with vectors of 16 have
  /// thirty-two, for twelve rows.
  ///
  /// A tile of AMX is 16 rows by 16 columns, whatever the vectors.
  package static func candidates(vectorWidth: Int, amx: AMX = .none) -> [FusedCPUTiles] {
    let vector = [4, 8, 16].last { $0 <= vectorWidth } ?? 4
    let byAMX =
      amx == .none ? [] : [FusedCPUTiles(vector: 16, rows: 16, columns: 2, rowBlocks: 8, keyPanels: 8, amx: amx)]
    return byAMX
      + rows.filter { $0[0] <= vector }.map { sizes in
        FusedCPUTiles(
          vector: vector, rows: sizes[1], columns: sizes[2], rowBlocks: sizes[3],
          // Tiles of as many keys whatever the vector: their scores stay in the same cache.
          keyPanels: max(1, sizes[4] * 8 / vector), amx: .none)
      }
  }

  /// The table, read once: planning is part of every call. First the least vector that a row is for.
  private static let rows: [[Int]] = {
    let table = """
      vector rows columns rowBlocks keyPanels
      16     12   2       6         16
      4      6    2       12        16
      4      6    2       8         8
      4      6    2       4         4
      4      6    2       2         2
      4      6    2       1         1
      """
    return table.split(separator: "\n").dropFirst().map { row in
      row.split(separator: " ").compactMap { Int($0) }
    }.filter { $0.count == 5 }
  }()

  init(vector: Int, rows: Int, columns: Int, rowBlocks: Int, keyPanels: Int, amx: AMX) {
    self.vector = vector
    self.rows = rows
    self.columns = columns
    self.rowBlocks = rowBlocks
    self.keyPanels = keyPanels
    self.amx = amx
  }

  /// The sizes in the order of `vector` and the columns of the table, and the number of `amx`.
  package var sizes: [Int] { [vector, rows, columns, rowBlocks, keyPanels, amx.rawValue] }

  package init?(sizes: [Int]) {
    guard sizes.count == 6, let amx = AMX(rawValue: sizes[5]) else { return nil }
    self.init(vector: sizes[0], rows: sizes[1], columns: sizes[2], rowBlocks: sizes[3], keyPanels: sizes[4], amx: amx)
  }

  /// Whether the kernels can be built with these sizes at all, and no product of them overflows.
  private var isConsistent: Bool {
    (amx == .none || [vector, rows, columns] == [16, 16, 2])
      && [4, 8, 16].contains(vector) && (1...16).contains(rows) && (1...8).contains(columns)
      && (1...256).contains(rowBlocks) && (1...1024).contains(keyPanels)
  }

  /// Whether a device's limits admit these tiles.
  package func fit(_ device: DeviceProfile, _ problem: AttentionProblem) -> Bool {
    isConsistent && (amx == .none || amx == device.amx) && localBytes(problem) <= device.localMemory
  }

  /// Floats of local memory that a work-item takes: its queries, scores, weights and output, and four numbers and a vector a
  /// row.
  func localFloats(_ problem: AttentionProblem) -> Int {
    let outputColumns = roundedUp(problem.valueDimension, to: panel)
    let rowFloats = outputColumns + vector + 4
    guard let parts = parts(of: problem.elementType) else {
      return tileRows * (rowFloats + tileKeys + problem.headDimension)
    }
    let scores = tileKeys + 16 + (parts == 3 ? tileKeys / 2 + 16 : 0)
    return tileRows * (rowFloats + scores + parts * depth(problem) / 2)
  }

  func localBytes(_ problem: AttentionProblem) -> Int { 4 * localFloats(problem) }

  /// The bfloat16 numbers that AMX takes each of a type's for; nil where there is no AMX.
  private func parts(of type: ElementType) -> Int? {
    guard amx != .none else { return nil }
    return type == .bfloat16 ? 1 : type == .float16 ? 2 : 3
  }

  /// Columns of packed keys.
  private func depth(_ problem: AttentionProblem) -> Int {
    amx == .none ? problem.headDimension : roundedUp(problem.headDimension, to: 32)
  }

  /// 32-bit words that `numbers` packed numbers take.
  private func words(_ numbers: Int, _ type: ElementType) -> Int { parts(of: type).map { $0 * numbers / 2 } ?? numbers }

  /// Words that the packed keys of one key/value head take, and its packed values.
  func packedKeyWords(keys: Int, _ problem: AttentionProblem) -> Int {
    words(roundedUp(keys, to: tileKeys) * depth(problem), problem.elementType)
  }

  func packedValueWords(keys: Int, _ problem: AttentionProblem) -> Int {
    words(roundedUp(keys, to: tileKeys) * roundedUp(problem.valueDimension, to: panel), problem.elementType)
  }

  /// Bytes of both, and of a flag for each tile of keys.
  func packedBytes(keys: Int, _ problem: AttentionProblem) -> Int {
    4 * (packedKeyWords(keys: keys, problem) + packedValueWords(keys: keys, problem)) + keyTiles(keys)
  }

  func keyTiles(_ keys: Int) -> Int { keys.tiles(of: tileKeys) }
}

extension FusedCPUTiles: CustomStringConvertible {
  public var description: String {
    switch amx {
    case .none: "\(tileRows)×\(tileKeys), registers of \(rows)×\(panel), vectors of \(vector)"
    case .native: "\(tileRows)×\(tileKeys), AMX"
    case .emulated: "\(tileRows)×\(tileKeys), emulated AMX"
    }
  }
}
