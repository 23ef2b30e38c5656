import OpenCL

/// The kernels of Kernels/insight.cl, built for one device, element type and set of tiles: only for calls that ask.
final class InsightKernels {
  let rowTerms: Kernel
  let topKeys: Kernel
  let received: Kernel
  let tiles: StagedTiles

  static let sources = ["common", "modifiers", "product", "insight"]

  /// Builds the kernels, or loads them from the cache.
  ///
  /// - Throws: ``TilesRejected`` where a kernel came out too large for the work-groups that the tiles ask for.
  init(_ key: StagedKernels.Key, _ context: Context) throws {
    let device = context.device
    let program = try key.insightProgram(subgroupSizes: device.info.pinnableSubgroupSizes).build(context)
    func kernel(_ name: String) throws -> Kernel {
      let kernel = try Kernel(program, name)
      guard try kernel.runs(groupsOf: key.tiles.groupItems) else {
        throw TilesRejected(device: device.identifier, tiles: .staged(key.tiles))
      }
      return kernel
    }
    tiles = key.tiles
    rowTerms = try kernel("row_terms")
    topKeys = try kernel("top_keys")
    received = try kernel("received")
  }
}
