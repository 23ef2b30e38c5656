/// The sizes that a fused kernel of GPU-class devices is built with. Kernels/fused_gpu.cl and, for matrix units, fused_mma.cl
/// draw what they mean.
public struct FusedGPUTiles: Sendable, Hashable {
  /// Queries and keys of a tile.
  public let tileRows: Int
  public let tileKeys: Int
  /// Work-items of a group across and down a tile.
  public let groupX: Int
  public let groupY: Int
  /// Whether keys and values take turns in one local buffer; with `depth` columns of the keys, and `valueKeys` keys of the
  /// values, at a time (0: all of the tile).
  public let oneBuffer: Bool
  public let depth: Int
  public let valueKeys: Int
  /// Whether keys and values are read into registers before the arithmetic that precedes their use.
  public let prefetch: Bool
  /// Fours of columns that the loop of the scores takes at a time.
  public let scoreUnroll: Int
  /// The matrix units whose products they are, if any. Then a group is `groupY` warps of `groupX` lanes, and the sizes after
  /// those are 0.
  public let matrixUnits: MatrixUnits?
  /// Whose device the kernel is built for.
  public let vendor: DeviceVendor

  public var groupItems: Int { groupX * groupY }

  /// Whether the device's own exponential is used. Its accuracy is the driver's: `attend verify` says whether the bounds
  /// hold.
  package var nativeExp2: Bool { vendor != .other }
  /// Whether sums are kept in pairs, which devices of other vendors add two at a time; elsewhere they would be registers.
  private var pairs: Bool { vendor != .nvidia }
  /// Whether matrix units are OpenCL C, for there are none.
  private var emulated: Bool { matrixUnits?.vendor != vendor }

  /// What to try, best first: later rows ask for less local memory and fewer work-items. The last fits any device.
  ///
  /// To tune for a device, add a row; the first that fits is taken. A row serves heads whose larger dimension is `width` or
  /// less. NVIDIA's sizes were timed on an H100; the others are what compilers for the vendors' GPUs make good code of, as
  /// `Scripts/gpu-compilers` says. (Warps of 32 rows take 0.87 of the time on an H100 at dimension 64 where 4,096 queries see all
  /// keys and the same where they are causal. With 32 to 128 queries a variant of the kernel took 1.2 to 1.6 times as long: so
  /// they come second, for `attend tune` to find.)
  ///
  /// - Parameter matrixUnits: What the device has for the problem's type.
  package static func candidates(
    vendor: DeviceVendor, headDimension: Int, valueDimension: Int, matrixUnits: MatrixUnits? = nil
  ) -> [FusedGPUTiles] {
    let width = max(headDimension, valueDimension)
    return rows.compactMap { row in
      guard row.vendor == nil || row.vendor == vendor, row.width.map({ width <= $0 }) ?? true,
        let tiles = FusedGPUTiles(sizes: row.sizes, vendor: vendor),
        tiles.matrixUnits == nil || tiles.matrixUnits == matrixUnits
      else { return nil }
      return tiles
    }
  }

  /// A row of the table; nil is `any`.
  private struct Row {
    let vendor: DeviceVendor?
    let width: Int?
    let sizes: [Int]
  }

  /// The table, read once: planning is part of every call.
  private static let rows: [Row] = {
    let table = """
      vendor width rows keys groupX groupY oneBuffer depth valueKeys prefetch scoreUnroll matrixUnits
      any    128   64   64   32     4      0         0     0         0        0           1
      any    64    128  64   32     4      0         0     0         0        0           1
      any    256   64   32   32     4      0         0     0         0        0           1
      any    64    128  64   64     4      0         0     0         0        0           2
      any    256   128  32   64     4      0         0     0         0        0           2
      any    64    64   32   32     4      0         0     0         0        0           3
      any    128   64   16   32     4      0         0     0         0        0           3
      any    64    64   64   32     4      0         0     0         0        0           4
      any    128   64   32   32     4      0         0     0         0        0           4
      amd    32    128  16   8      32     0         0     0         1        2           0
      any    32    128  16   8      32     0         0     0         1        1           0
      amd    64    64   16   16     16     0         0     0         1        2           0
      intel  64    64   32   16     16     0         0     0         0        2           0
      nvidia 64    64   64   16     8      1         32    32        0        2           0
      nvidia 128   64   32   16     8      1         32    8         1        2           0
      any    64    64   16   16     16     0         0     0         1        1           0
      any    80    64   20   20     16     0         0     0         1        1           0
      any    96    64   24   24     16     1         0     0         1        1           0
      any    96    32   24   24     8      1         0     0         1        2           0
      intel  128   32   64   32     8      1         32    16        0        2           0
      any    128   32   32   32     8      1         64    16        1        1           0
      any    192   32   48   48     8      1         32    8         1        1           0
      any    192   16   48   48     4      1         32    8         1        2           0
      intel  256   16   64   64     4      1         32    8         0        1           0
      any    256   16   64   64     4      1         32    8         1        1           0
      any    any   16   64   64     4      1         16    2         1        1           0
      any    any   8    32   32     2      1         32    2         0        1           0
      any    any   16   8    4      4      1         16    2         0        1           0
      any    any   4    4    1      1      1         16    1         0        1           0
      """
    return table.split(separator: "\n").dropFirst().compactMap { row in
      let columns = row.split(separator: " ")
      guard columns.count == 12 else { return nil }
      return Row(
        vendor: DeviceVendor(rawValue: String(columns[0])), width: Int(columns[1]),
        sizes: columns.dropFirst(2).compactMap { Int($0) })
    }
  }()

  package init?(sizes: [Int], vendor: DeviceVendor) {
    guard sizes.count == 10 else { return nil }
    matrixUnits = MatrixUnits(number: sizes[9])
    guard matrixUnits != nil || sizes[9] == 0 else { return nil }
    tileRows = sizes[0]
    tileKeys = sizes[1]
    groupX = sizes[2]
    groupY = sizes[3]
    oneBuffer = sizes[4] != 0
    depth = sizes[5]
    valueKeys = sizes[6]
    prefetch = sizes[7] != 0
    scoreUnroll = sizes[8]
    self.vendor = vendor
  }

  /// The sizes in the order of the table's columns from `rows` on.
  package var sizes: [Int] {
    [
      tileRows, tileKeys, groupX, groupY, oneBuffer ? 1 : 0, depth, valueKeys, prefetch ? 1 : 0, scoreUnroll,
      matrixUnits?.number ?? 0,
    ]
  }

  /// Whether the kernel can be built with these sizes at all, and no product of them overflows.
  private var isConsistent: Bool {
    guard [tileRows, tileKeys, groupX, groupY].allSatisfy({ (1...1024).contains($0) }) else { return false }
    if let matrixUnits {
      return groupX == matrixUnits.warpItems && MatrixUnits.warpRows.contains { tileRows == $0 * groupY }
        && tileKeys % matrixUnits.step == 0 && sizes[4..<9].allSatisfy { $0 == 0 }
    }
    guard tileRows % 4 == 0, tileRows % groupY == 0, tileKeys % groupX == 0, (1...16).contains(scoreUnroll) else {
      return false
    }
    // A work-item has a bit for each of its scores.
    guard tileRows / groupY * (tileKeys / groupX) <= 32 else { return false }
    guard oneBuffer else { return depth == 0 && valueKeys == 0 }
    return (0...1024).contains(depth) && depth % 8 == 0 && valueKeys >= 0
      && (valueKeys == 0 || tileKeys % valueKeys == 0)
  }

  /// Bytes of local memory: the tile of queries, those of keys and values (each padded by four floats a row), the weights,
  /// the rows' maxima and a flag. Tiles are float32 whatever the storage, but for matrix units.
  package func localBytes(headDimension: Int, valueDimension: Int) -> Int {
    if let matrixUnits {
      return matrixUnits.localBytes(
        keys: tileKeys, headDimension: headDimension, valueDimension: valueDimension, groupItems: groupItems,
        emulated: emulated)
    }
    // (Storage of 16 bits is read by eights only where both dimensions are multiples of eight.)
    let keyWidth = roundedUp(headDimension, to: 4)
    let depth = depth == 0 ? keyWidth : depth
    let keys = tileKeys * (depth + 4)
    let values = (valueKeys == 0 ? tileKeys : valueKeys) * (roundedUp(valueDimension, to: 4) + 4)
    let queries = tileRows * (roundedUp(headDimension, to: depth) + 4)
    let weights = tileKeys * (tileRows + 4)
    return 4 * (queries + (oneBuffer ? max(keys, values) : keys + values) + weights + tileRows) + 16
  }

  /// Whether a device's limits admit these tiles.
  package func fit(_ device: DeviceProfile, _ type: ElementType, headDimension: Int, valueDimension: Int) -> Bool {
    if let matrixUnits {
      // A row of 16 bytes and more, in steps of them, each of which an item copies.
      let dimensions = [headDimension, valueDimension]
      guard device.matrixUnits[type] == matrixUnits,
        dimensions.allSatisfy({ $0 % 8 == 0 && $0 <= 8 * groupItems })
      else { return false }
    }
    return isConsistent && groupItems <= device.maxWorkGroupSize
      && localBytes(headDimension: headDimension, valueDimension: valueDimension) <= device.localMemory
  }

  /// The build options that these sizes are.
  package var options: [String] {
    var options = ["-DSCORE_WIDTH=1", "-DTILE_ROWS=\(tileRows)", "-DTILE_KEYS=\(tileKeys)"]
    if let matrixUnits {
      return options + ["-DUNITS=\(matrixUnits.number)", "-DGROUP_ITEMS=\(groupItems)"]
        + (emulated ? ["-DEMULATED"] : [])
    }
    options += [
      "-DGROUP_X=\(groupX)", "-DGROUP_Y=\(groupY)", "-DONE_BUFFER=\(oneBuffer ? 1 : 0)",
      "-DPREFETCH=\(prefetch ? 1 : 0)", "-DSCORE_UNROLL=\(scoreUnroll)", "-DPAIRS=\(pairs ? 1 : 0)",
    ]
    if depth != 0 { options.append("-DDEPTH=\(depth)") }
    if valueKeys != 0 { options.append("-DVALUE_KEYS=\(valueKeys)") }
    if nativeExp2 { options.append("-DNATIVE_EXP2") }
    return options
  }
}

extension FusedGPUTiles: CustomStringConvertible {
  public var description: String {
    if let matrixUnits {
      return "\(tileRows)×\(tileKeys), \(groupY) warps of \(groupX), "
        + "\(emulated ? "emulated " : "")matrix units (\(matrixUnits.rawValue))"
    }
    return "\(tileRows)×\(tileKeys), \(groupX)×\(groupY) items" + (oneBuffer ? ", keys and values in one buffer" : "")
      + (depth == 0 ? "" : " by \(depth) columns and \(valueKeys) keys")
  }
}
