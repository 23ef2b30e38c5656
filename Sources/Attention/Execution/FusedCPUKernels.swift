import OpenCL

/// The fused kernels of CPU-class devices, built for one device, element type and set of tiles.
final class FusedCPUKernels {
  struct Key: Hashable {
    let elementType: ElementType
    let tiles: FusedCPUTiles
    let aligned: Bool
  }

  let tiles: FusedCPUTiles
  let pack: Kernel
  let classifyMask: Kernel
  let fused: Kernel

  static let sources = ["common", "modifiers", "online_softmax", "fused_cpu", "mask_classes"]

  init(_ key: Key, _ context: Context) throws {
    tiles = key.tiles
    let program = try Program(context, sources: Self.sources, options: Self.options(key))
    pack = try Kernel(program, "pack_keys_values")
    classifyMask = try Kernel(program, "classify_mask")
    fused = try Kernel(program, "fused_cpu")
  }

  static func options(_ key: Key) -> String {
    let tiles = key.tiles
    var options = [
      "-cl-std=CL1.2", "-DSTORAGE=\(key.elementType.storageOption)", "-DSCORE_WIDTH=\(tiles.vector)",
      "-DROWS=\(tiles.rows)", "-DCOLUMNS=\(tiles.columns)", "-DROW_BLOCKS=\(tiles.rowBlocks)",
      "-DKEY_PANELS=\(tiles.keyPanels)",
    ]
    if key.aligned { options.append("-DALIGNED") }
    return options.joined(separator: " ")
  }
}
