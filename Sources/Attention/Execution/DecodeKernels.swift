import OpenCL

/// How rows of keys and values are stored; the value of ROW_STORAGE in Kernels/key_value_rows.cl.
enum RowStorage: Int32, Sendable, Hashable {
  case float32 = 0
  case float16 = 1
  case bfloat16 = 2
  // swift-format-ignore: AlwaysUseLowerCamelCase
  case q8_0 = 3
  // swift-format-ignore: AlwaysUseLowerCamelCase
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
    mergeItems = key.mergeItems
    rowsOfPiece = tiles.rowsOfPiece(key.headDimension, key.valueDimension, localMemory: info.localMemory)
    let program = try key.program(subgroupSizes: info.pinnableSubgroupSizes).build(context)
    decode = try Kernel(program, key.kernelName)
    merge = try Kernel(try key.mergeProgram.build(context), "merge_pieces")
    guard try decode.runs(groupsOf: tiles.items), try merge.runs(groupsOf: mergeItems) else {
      throw TilesRejected(device: context.device.identifier, tiles: .decode(tiles))
    }
  }
}

extension DecodeKernels.Key {
  /// For a call, whose keys and values are stored as its queries are.
  init(_ problem: AttentionProblem, _ plan: DevicePlan, _ tiles: DecodeTiles) {
    self.init(
      elementType: problem.elementType, storage: RowStorage(problem.elementType), tiles: tiles,
      headDimension: problem.headDimension, valueDimension: problem.valueDimension,
      storedValues: problem.valueDimension, aligned: plan.aligned)
  }

  /// For a cache, whose rows are stored as `storage` says.
  ///
  /// - Parameters:
  ///   - storedValues: Elements of a row of values.
  ///   - rotaryPairs: Pairs of elements of a query that are rotated.
  init(
    _ problem: AttentionProblem, cache storage: KVCacheStorage, storedValues: Int, rotaryPairs: Int,
    _ tiles: DecodeTiles
  ) {
    let sizes = [problem.headDimension, problem.valueDimension, storedValues, rotaryPairs]
    self.init(
      elementType: problem.elementType, storage: storage.rows, tiles: tiles, headDimension: problem.headDimension,
      valueDimension: problem.valueDimension, storedValues: storedValues, aligned: sizes.allSatisfy { $0 % 4 == 0 })
  }

  /// Work-items that merge a row.
  var mergeItems: Int { tiles.isCPU ? 1 : tiles.items }

  var kernelName: String { tiles.isCPU ? "decode_cpu" : "decode_gpu" }

  func program(subgroupSizes: [Int]) -> KernelProgram {
    let options = [
      "-cl-std=CL1.2", "-DSTORAGE=\(elementType.storageOption)", "-DROW_STORAGE=\(storage.rawValue)",
      "-DSCORE_WIDTH=\(tiles.vector)", "-DROWS=\(tiles.rows)", "-DTILE_KEYS=\(tiles.tileKeys)",
      "-DITEMS=\(tiles.items)", "-DKEY_LANES=\(tiles.keyLanes)",
      "-DKEY_WIDTH=\(headDimension)", "-DVALUE_WIDTH=\(valueDimension)", "-DVALUE_STORED=\(storedValues)",
    ]
    return KernelProgram(
      kernels: [kernelName], sources: tiles.isCPU ? DecodeCPUProgram.sources : DecodeGPUProgram.sources,
      options: options + (aligned ? ["-DALIGNED"] : []) + (tiles.unpacks ? ["-DUNPACK"] : [])
        + subgroupOptions(from: subgroupSizes, dividing: [tiles.items]))
  }

  /// The kernel that merges pieces: for many dimensions and tiles, so that it is built seldom.
  var mergeProgram: KernelProgram {
    KernelProgram(
      kernels: ["merge_pieces"], sources: MergeProgram.sources,
      options: ["-cl-std=CL1.2", "-DSTORAGE=\(elementType.storageOption)", "-DMERGE_ITEMS=\(mergeItems)"]
        + (valueDimension % 4 == 0 ? ["-DALIGNED"] : []))
  }
}

private enum DecodeCPUProgram {
  static let sources = [
    "common", "modifiers", "online_softmax", "key_value_rows", "rotary", "decode", "decode_cpu_products", "decode_cpu",
  ]
}

private enum DecodeGPUProgram {
  static let sources = [
    "common", "modifiers", "online_softmax", "key_value_rows", "units", "rotary", "decode", "decode_gpu",
  ]
}

private enum MergeProgram {
  static let sources = ["common", "modifiers", "online_softmax", "merge"]
}
