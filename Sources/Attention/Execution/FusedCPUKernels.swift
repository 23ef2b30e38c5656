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
        kernels: ["pack_keys_values", "classify_mask", kernelName],
        sources: tiles.amx == .none ? VectorProgram.sources : AMXProgram.sources,
        options: options + (aligned ? ["-DALIGNED"] : []) + (tiles.amx == .emulated ? ["-DEMULATED"] : []))
    }

    fileprivate var kernelName: String { tiles.amx == .none ? "fused_cpu" : "fused_amx" }
  }

  let tiles: FusedCPUTiles
  let pack: Kernel
  let classifyMask: Kernel
  let fused: Kernel

  static let allSources = VectorProgram.sources + AMXProgram.sources

  /// Builds the kernels, or loads them from the cache.
  ///
  /// - Throws: ``TilesRejected`` where the compiler does not know AMX's instructions.
  init(_ key: Key, _ context: Context) throws {
    tiles = key.tiles
    let program = try Self.build(key, context)
    pack = try Kernel(program, "pack_keys_values")
    classifyMask = try Kernel(program, "classify_mask")
    fused = try Kernel(program, key.kernelName)
  }

  private static func build(_ key: Key, _ context: Context) throws -> Program {
    do {
      return try key.program.build(context)
    } catch {
      guard error.isBuildFailure && key.tiles.amx != .none else { throw error }
      throw TilesRejected(
        device: context.device.identifier, tiles: .fusedCPU(key.tiles),
        matrixUnits: (key.elementType, "its compiler does not know them"))
    }
  }
}

private enum VectorProgram {
  static let sources = ["common", "modifiers", "online_softmax", "cpu_tiles", "fused_cpu", "mask_classes"]
}

private enum AMXProgram {
  static let sources = [
    "common", "modifiers", "online_softmax", "cpu_tiles", "brain_parts", "power_of_two", "amx", "fused_amx",
    "mask_classes",
  ]
}
