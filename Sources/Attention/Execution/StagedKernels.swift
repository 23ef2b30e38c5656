import OpenCL

/// The staged kernels, built for one device, element type and set of tiles.
final class StagedKernels {
  struct Key: Hashable {
    let elementType: ElementType
    let tiles: StagedTiles
    let aligned: Bool

    init(_ problem: AttentionProblem, _ plan: DevicePlan, _ tiles: StagedTiles) {
      elementType = problem.elementType
      self.tiles = tiles
      aligned = plan.aligned
    }

    func program(subgroupSizes: [Int]) -> KernelProgram {
      KernelProgram(
        kernels: ["scores", "softmax_parts", "softmax_normalize", "weighted_values"], sources: StagedKernels.sources,
        options: options(subgroupSizes: subgroupSizes))
    }

    func insightProgram(subgroupSizes: [Int]) -> KernelProgram {
      KernelProgram(
        kernels: ["row_terms", "top_keys", "received"], sources: InsightKernels.sources,
        options: options(subgroupSizes: subgroupSizes))
    }

    private func options(subgroupSizes: [Int]) -> [String] {
      let options = [
        "-cl-std=CL1.2", "-DSTORAGE=\(elementType.storageOption)", "-DGROUP_X=\(tiles.groupX)",
        "-DGROUP_Y=\(tiles.groupY)", "-DROWS=\(tiles.rows)", "-DCOLUMNS=\(tiles.columns)", "-DVECTOR=\(tiles.vector)",
        "-DTILE_K=\(tiles.depth)", "-DSCORE_WIDTH=\(tiles.vector)",
        "-DSOFTMAX_ITEMS=\(tiles.softmaxItems)", "-DSOFTMAX_VECTOR=\(tiles.softmaxVector)", "-DCHUNK=\(tiles.chunk)",
      ]
      return options + (aligned ? ["-DALIGNED"] : [])
        + subgroupOptions(from: subgroupSizes, dividing: [tiles.softmaxItems, tiles.groupItems])
    }
  }

  let scores: Kernel
  let softmaxParts: Kernel
  let softmaxNormalize: Kernel
  let weightedValues: Kernel

  static let sources = ["common", "modifiers", "product", "scores", "softmax", "values"]

  /// Builds the kernels, or loads them from the cache.
  ///
  /// - Throws: ``TilesRejected`` where a kernel came out too large for the work-groups that the tiles ask for.
  init(_ key: Key, _ context: Context) throws {
    let program = try key.program(subgroupSizes: context.device.info.pinnableSubgroupSizes).build(context)
    func kernel(_ name: String, items: Int) throws -> Kernel {
      let kernel = try Kernel(program, name)
      guard try kernel.runs(groupsOf: items) else {
        throw TilesRejected(device: context.device.identifier, tiles: .staged(key.tiles))
      }
      return kernel
    }
    scores = try kernel("scores", items: key.tiles.groupItems)
    softmaxParts = try kernel("softmax_parts", items: key.tiles.softmaxItems)
    softmaxNormalize = try kernel("softmax_normalize", items: key.tiles.softmaxItems)
    weightedValues = try kernel("weighted_values", items: key.tiles.groupItems)
  }
}

extension ElementType {
  /// The value of STORAGE in Kernels/common.cl.
  var storageOption: Int {
    switch self {
    case .float16: 1
    case .bfloat16: 2
    case .float32, .float64, .int32, .int64, .bool: 0
    }
  }

  /// The value of `mask_kind` in Kernels/modifiers.cl.
  var maskKind: Int32 {
    switch self {
    case .bool: 1
    case .float32: 2
    case .float16: 3
    case .bfloat16: 4
    case .float64, .int32, .int64: 0
    }
  }
}
