import OpenCL

/// The fused kernel of GPU-class devices, built for one device, element type, dimensions and set of tiles.
final class FusedGPUKernels {
  struct Key: Hashable {
    let elementType: ElementType
    let tiles: FusedGPUTiles
    let headDimension: Int
    let valueDimension: Int
    let aligned: Bool
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
    classifyItems = min(64, key.tiles.groupItems)
    let info = context.device.info
    let program = try Program(context, sources: Self.sources, options: Self.options(key, classifyItems, info))
    classifyMask = try Kernel(program, "classify_mask")
    fused = try Kernel(program, "fused_gpu")
    guard key.tiles.groupItems <= fused.workGroupSize, try fused.localMemorySize <= info.localMemory else {
      throw TilesRejected(device: context.device.identifier, tiles: .fusedGPU(key.tiles))
    }
  }

  private static func options(_ key: Key, _ classifyItems: Int, _ device: DeviceInfo) -> String {
    var options = [
      "-cl-std=CL1.2", "-DSTORAGE=\(key.elementType.storageOption)", "-DHEAD_DIMENSION=\(key.headDimension)",
      "-DVALUE_DIMENSION=\(key.valueDimension)", "-DCLASSIFY_ITEMS=\(classifyItems)",
    ]
    if key.aligned { options.append("-DALIGNED") }
    let subgroupSizes = device.supports(extension: "cl_intel_subgroups") ? device.requiredSubgroupSizes : []
    return (options + key.tiles.options(subgroupSizes: subgroupSizes)).joined(separator: " ")
  }
}
