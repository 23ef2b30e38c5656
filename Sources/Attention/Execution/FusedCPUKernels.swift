import OpenCL

/// The fused kernels of CPU-class devices, built for one device, element type and set of tiles.
final class FusedCPUKernels {
  struct Key: Hashable {
    let elementType: ElementType
    let tiles: FusedCPUTiles
    let aligned: Bool

    init(_ problem: AttentionProblem, _ plan: DevicePlan, _ tiles: FusedCPUTiles) {
      elementType = problem.elementType
      self.tiles = tiles
      aligned = plan.aligned
    }

    var program: KernelProgram {
      let options = [
        "-cl-std=CL1.2", "-DSTORAGE=\(elementType.storageOption)", "-DSCORE_WIDTH=\(tiles.vector)",
        "-DROWS=\(tiles.rows)", "-DCOLUMNS=\(tiles.columns)", "-DROW_BLOCKS=\(tiles.rowBlocks)",
        "-DKEY_PANELS=\(tiles.keyPanels)",
      ]
      return KernelProgram(
        kernels: ["pack_keys_values", "classify_mask", "fused_cpu"], sources: FusedCPUKernels.sources,
        options: options + (aligned ? ["-DALIGNED"] : []))
    }
  }

  let tiles: FusedCPUTiles
  let pack: Kernel
  let classifyMask: Kernel
  let fused: Kernel

  static let sources = ["common", "modifiers", "online_softmax", "fused_cpu", "mask_classes"]

  init(_ key: Key, _ context: Context) throws {
    tiles = key.tiles
    let program = try key.program.build(context)
    pack = try Kernel(program, "pack_keys_values")
    classifyMask = try Kernel(program, "classify_mask")
    fused = try Kernel(program, "fused_cpu")
  }
}
