import OpenCL

/// A fused kernel of GPU-class devices, by vectors or by matrix units, built for one device, element type, dimensions and set
/// of tiles.
final class FusedGPUKernels {
  struct Key: Hashable {
    let elementType: ElementType
    let tiles: FusedGPUTiles
    let headDimension: Int
    let valueDimension: Int
    let aligned: Bool

    init(_ problem: AttentionProblem, _ plan: DevicePlan, _ tiles: FusedGPUTiles) {
      elementType = problem.elementType
      self.tiles = tiles
      headDimension = problem.headDimension
      valueDimension = problem.valueDimension
      aligned = plan.aligned
    }

    /// Work-items that classify a tile of the mask.
    var classifyItems: Int { min(64, tiles.groupItems) }

    fileprivate var kernelName: String { tiles.matrixUnits == nil ? "fused_gpu" : "fused_mma" }

    /// What a kernel of matrix units has to pass.
    var trial: MatrixUnitTrial {
      get throws {
        try MatrixUnitTrial(tiles, elementType, headDimension: headDimension, valueDimension: valueDimension)
      }
    }

    private var sources: [String] {
      switch tiles.matrixUnits?.vendor {
      case nil: VectorProgram.sources
      case .nvidia: NVIDIAProgram.sources
      default: AMDProgram.sources
      }
    }

    func program(subgroupSizes: [Int]) -> KernelProgram {
      let options = [
        "-cl-std=CL1.2", "-DSTORAGE=\(elementType.storageOption)", "-DHEAD_DIMENSION=\(headDimension)",
        "-DVALUE_DIMENSION=\(valueDimension)", "-DCLASSIFY_ITEMS=\(classifyItems)",
      ]
      return KernelProgram(
        kernels: ["classify_mask", kernelName],
        sources: sources,
        options: options + (aligned ? ["-DALIGNED"] : []) + tiles.options
          + subgroupOptions(from: subgroupSizes, dividing: [tiles.groupItems]))
    }
  }

  let tiles: FusedGPUTiles
  let classifyMask: Kernel
  let fused: Kernel

  /// Work-items that classify a tile of the mask.
  let classifyItems: Int

  static let allSources = VectorProgram.sources + NVIDIAProgram.sources + AMDProgram.sources

  /// Builds the kernels, or loads them from the cache.
  ///
  /// - Throws: ``TilesRejected`` where the kernel came out too large for its work-groups, where the compiler does not know the
  ///   matrix units' instructions, or where they do not what is expected of them.
  init(_ key: Key, _ context: Context) throws {
    tiles = key.tiles
    classifyItems = key.classifyItems
    let program = try Self.build(key, context)
    classifyMask = try Kernel(program, "classify_mask")
    fused = try Kernel(program, key.kernelName)
    guard try fused.runs(groupsOf: key.tiles.groupItems) else {
      throw TilesRejected(device: context.device.identifier, tiles: .fusedGPU(key.tiles))
    }
    guard try key.tiles.matrixUnits == nil || key.trial.passes(fused, context) else {
      throw Self.withoutMatrixUnits(key, context, "a trial of them came out otherwise than it should")
    }
  }

  private static func build(_ key: Key, _ context: Context) throws -> Program {
    do {
      return try key.program(subgroupSizes: context.device.info.pinnableSubgroupSizes).build(context)
    } catch {
      guard error.isBuildFailure && key.tiles.matrixUnits != nil else { throw error }
      throw withoutMatrixUnits(key, context, "its compiler does not know them")
    }
  }

  private static func withoutMatrixUnits(_ key: Key, _ context: Context, _ reason: String) -> TilesRejected {
    TilesRejected(
      device: context.device.identifier, tiles: .fusedGPU(key.tiles), matrixUnits: (key.elementType, reason))
  }
}

private enum VectorProgram {
  static let sources = ["common", "modifiers", "online_softmax", "key_tiles", "fused_gpu", "mask_classes"]
}

private enum NVIDIAProgram {
  static let sources = [
    "common", "modifiers", "online_softmax", "key_tiles", "matrix_units", "matrix_units_nvidia", "fused_mma",
    "mask_classes",
  ]
}

private enum AMDProgram {
  static let sources = [
    "common", "modifiers", "online_softmax", "key_tiles", "matrix_units", "matrix_units_amd", "fused_mma",
    "mask_classes",
  ]
}
