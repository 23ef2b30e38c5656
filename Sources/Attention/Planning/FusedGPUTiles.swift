/// The sizes that the fused kernel of GPU-class devices is built with. Kernels/fused_gpu.cl draws what they mean.
public struct FusedGPUTiles: Sendable, Hashable {
  /// Queries and keys of a tile.
  public let tileRows: Int
  public let tileKeys: Int
  /// Work-items of a group across and down a tile.
  public let groupX: Int
  public let groupY: Int
  /// Whether keys and values take turns in one local buffer, `depth` columns of K and `valueKeys` keys of V at a time
  /// (0: all of them).
  public let oneBuffer: Bool
  public let depth: Int
  public let valueKeys: Int

  public var groupItems: Int { groupX * groupY }

  /// What to try for dimensions of at most `width`, best first: later rows ask for less local memory and fewer
  /// work-items. To tune for a device, add a row; of those whose width reaches the problem's, the first that fits is taken.
  package static func candidates(width: Int) -> [FusedGPUTiles] {
    let table = """
      width tileRows tileKeys groupX groupY oneBuffer depth valueKeys
      64    64       16       16     16     0         0     0
      128   32       32       32     8      1         0     0
      256   16       16       16     16     1         64    4
      1024  16       16       16     16     1         64    2
      1024  8        8        8      8      1         32    2
      1024  4        4        4      4      1         16    1
      99999 4        4        1      1      1         16    1
      """
    return table.split(separator: "\n").dropFirst().compactMap { row in
      let sizes = row.split(separator: " ").compactMap { Int($0) }
      guard sizes.count == 8, sizes[0] >= width else { return nil }
      return FusedGPUTiles(
        tileRows: sizes[1], tileKeys: sizes[2], groupX: sizes[3], groupY: sizes[4], oneBuffer: sizes[5] != 0,
        depth: sizes[6], valueKeys: sizes[7])
    }
  }

  /// Bytes of local memory: Q, K, V and P, their rows padded by four floats, and the rows' maxima.
  func localBytes(_ problem: AttentionProblem) -> Int {
    // A unit of 16-bit elements is eight of them.
    let (keyWidth, valueWidth) = (roundedUp(problem.headDimension, to: 8), roundedUp(problem.valueDimension, to: 8))
    func tile(_ rows: Int, _ width: Int) -> Int { rows * (width + 4) * 4 }
    let key = tile(tileKeys, depth == 0 ? keyWidth : depth)
    let value = tile(valueKeys == 0 ? tileKeys : valueKeys, valueWidth)
    return tile(tileRows, depth == 0 ? keyWidth : roundedUp(keyWidth, to: depth)) + tile(tileKeys, tileRows)
      + (oneBuffer ? max(key, value) : key + value) + 4 * tileRows + 64
  }

  /// The build options that say all this.
  var options: [String] {
    var options = [
      "-DTILE_ROWS=\(tileRows)", "-DTILE_KEYS=\(tileKeys)", "-DGROUP_X=\(groupX)", "-DGROUP_Y=\(groupY)",
      "-DONE_BUFFER=\(oneBuffer ? 1 : 0)",
    ]
    if depth > 0 { options.append("-DDEPTH=\(depth)") }
    if valueKeys > 0 { options.append("-DVALUE_KEYS=\(valueKeys)") }
    return options
  }
}

extension FusedGPUTiles: CustomStringConvertible {
  public var description: String {
    "\(tileRows)×\(tileKeys), \(groupX)×\(groupY) items" + (oneBuffer ? ", one buffer for K and V" : "")
  }
}
