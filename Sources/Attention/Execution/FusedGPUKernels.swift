import OpenCL

/// The fused kernel of GPU-class devices, built for one device, element type, dimensions and set of tiles.
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

    func program(subgroupSizes: [Int]) -> KernelProgram {
      let options = [
        "-cl-std=CL1.2", "-DSTORAGE=\(elementType.storageOption)", "-DHEAD_DIMENSION=\(headDimension)",
        "-DVALUE_DIMENSION=\(valueDimension)", "-DCLASSIFY_ITEMS=\(classifyItems)",
      ]
      return KernelProgram(
        kernels: ["classify_mask", "fused_gpu"], sources: FusedGPUKernels.sources,
        options: options + (aligned ? ["-DALIGNED"] : []) + tiles.options
          + subgroupOptions(from: subgroupSizes, dividing: [tiles.groupItems]))
    }
  }

  let tiles: FusedGPUTiles
  let classifyMask: Kernel
  let fused: Kernel

  /// Work-items that classify a tile of the mask.
  let classifyItems: Int

  static let sources = ["common", "modifiers", "online_softmax", "fused_gpu", "mask_classes"]

  /// Builds the kernels, or loads them from the cache.
  ///
  /// - Throws: ``TilesRejected`` where the kernel came out too large for its work-groups.
  init(_ key: Key, _ context: Context) throws {
    tiles = key.tiles
    classifyItems = key.classifyItems
    let info = context.device.info
    let program = try key.program(subgroupSizes: info.pinnableSubgroupSizes).build(context)
    classifyMask = try Kernel(program, "classify_mask")
    fused = try Kernel(program, "fused_gpu")
    guard key.tiles.groupItems <= fused.workGroupSize, try fused.localMemorySize <= info.localMemory else {
      throw TilesRejected(device: context.device.identifier, tiles: .fusedGPU(key.tiles))
    }
  }
}
