import OpenCL

/// How rows of keys and values are stored; the value of ROW_STORAGE in Kernels/key_value_rows.cl.
enum RowStorage: Int32, Sendable, Hashable {
  case float32 = 0
  case float16 = 1
  case bfloat16 = 2
  case q8_0 = 3
  case q4_0 = 4

  init(_ elementType: ElementType) {
    switch elementType {
    case .float16: self = .float16
    case .bfloat16: self = .bfloat16
    case .float32, .float64, .int32, .int64, .bool: self = .float32
    }
  }
}

/// The decode kernels, built for one device, types, dimensions and set of tiles.
final class DecodeKernels {
  struct Key: Hashable {
    let elementType: ElementType
    let storage: RowStorage
    let tiles: DecodeTiles
    let headDimension: Int
    let valueDimension: Int
    /// Elements of a stored row of values: more than `valueDimension` where values are the beginnings of keys.
    let storedValues: Int
    let aligned: Bool
  }

  let key: Key
  let decode: Kernel
  let merge: Kernel
  /// Work-items that merge a row.
  let mergeItems: Int
  /// Rows of queries of a piece.
  let rowsOfPiece: Int

  /// Builds the kernels, or loads them from the cache.
  ///
  /// - Throws: ``TilesRejected`` where the kernel came out too large for its work-groups.
  init(_ key: Key, _ context: Context) throws {
    self.key = key
    let (tiles, info) = (key.tiles, context.device.info)
    mergeItems = tiles.isCPU ? 1 : min(tiles.items, 32)
    rowsOfPiece = tiles.rowsOfPiece(key.headDimension, key.valueDimension, localMemory: info.localMemory)
    let program = try Program(
      context, sources: tiles.isCPU ? DecodeCPUProgram.sources : DecodeGPUProgram.sources,
      options: Self.options(key, mergeItems))
    decode = try Kernel(program, tiles.isCPU ? "decode_cpu" : "decode_gpu")
    merge = try Kernel(program, "merge_pieces")
    guard tiles.items <= decode.workGroupSize, try decode.localMemorySize <= info.localMemory else {
      throw TilesRejected(device: context.device.identifier, tiles: .decode(tiles))
    }
  }

  private static func options(_ key: Key, _ mergeItems: Int) -> String {
    let tiles = key.tiles
    var options = [
      "-cl-std=CL1.2", "-DSTORAGE=\(key.elementType.storageOption)", "-DROW_STORAGE=\(key.storage.rawValue)",
      "-DSCORE_WIDTH=\(tiles.vector)", "-DROWS=\(tiles.rows)", "-DTILE_KEYS=\(tiles.tileKeys)",
      "-DITEMS=\(tiles.items)", "-DKEY_LANES=\(tiles.keyLanes)", "-DMERGE_ITEMS=\(mergeItems)",
      "-DKEY_WIDTH=\(key.headDimension)", "-DVALUE_WIDTH=\(key.valueDimension)", "-DVALUE_STORED=\(key.storedValues)",
    ]
    if key.aligned { options.append("-DALIGNED") }
    return options.joined(separator: " ")
  }
}

private enum DecodeCPUProgram {
  static let sources = ["common", "modifiers", "online_softmax", "key_value_rows", "rotary", "decode", "decode_cpu", "merge"]
}

private enum DecodeGPUProgram {
  static let sources = ["common", "modifiers", "online_softmax", "key_value_rows", "rotary", "decode", "decode_gpu", "merge"]
}
