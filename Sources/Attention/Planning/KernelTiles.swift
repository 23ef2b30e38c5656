/// Which family of kernels a device runs, and the sizes that they are built with.
public enum KernelTiles: Sendable, Hashable {
  /// QKᵀ, masked softmax and weighted V, one kernel each, over a score matrix in memory.
  case staged(StagedTiles)
  /// One pass for devices whose work-items are threads with wide vectors.
  case fusedCPU(FusedCPUTiles)
  /// One pass for devices whose work-items share local memory.
  case fusedGPU(FusedGPUTiles)
  /// Few queries: keys cut into pieces that are read side by side and merged.
  case decode(DecodeTiles)

  public var kernel: KernelChoice {
    switch self {
    case .staged: .staged
    case .fusedCPU, .fusedGPU: .fused
    case .decode: .decode
    }
  }

  /// Queries of a tile.
  public var tileRows: Int {
    switch self {
    case .staged(let tiles): tiles.tileRows
    case .fusedCPU(let tiles): tiles.tileRows
    case .fusedGPU(let tiles): tiles.tileRows
    case .decode: 1
    }
  }

  /// Keys of a tile.
  public var tileKeys: Int {
    switch self {
    case .staged(let tiles): tiles.tileColumns
    case .fusedCPU(let tiles): tiles.tileKeys
    case .fusedGPU(let tiles): tiles.tileKeys
    case .decode(let tiles): tiles.tileKeys
    }
  }

  /// The tiles to use for a problem on a device: the best that fit its limits, and whether they are the ones that were
  /// tuned for it.
  ///
  /// - Throws: ``AttentionError/cannotRun(device:reason:)`` where none fits.
  static func best(
    for problem: AttentionProblem, on device: DeviceProfile, kernel: KernelChoice
  ) throws -> (tiles: KernelTiles, tuned: Bool) {
    // What was tuned for a family stands before the rows of its table.
    var candidates: [KernelTiles] = []
    for tiles in Self.candidates(for: problem, on: device, kernel: kernel) {
      if let family = tiles.family, family != candidates.last?.family,
        let tuned = device.tuning[ProblemClass(problem, family)]
      {
        candidates.append(tuned)
      }
      candidates.append(tiles)
    }
    guard let tiles = candidates.first(where: { !device.rejectedTiles.contains($0) && $0.fit(problem, device) }) else {
      throw AttentionError.cannotRun(
        device: device.identifier,
        reason:
          "no tile of the \(kernel == .auto ? "" : "\(kernel.rawValue) ")kernels fits \(device.localMemory) bytes "
          + "of local memory and \(device.maxWorkGroupSize) work-items")
    }
    return (tiles, tiles.family.map { device.tuning[ProblemClass(problem, $0)] == tiles } ?? false)
  }

  /// The staged tiles whose product finds the most attended keys: the plan's own, or the best that fit.
  static func insight(beside tiles: KernelTiles, on device: DeviceProfile) throws -> StagedTiles {
    if case .staged(let own) = tiles { return own }
    let fitting = StagedTiles.candidates(for: device.deviceClass).first {
      !device.rejectedTiles.contains(.staged($0)) && $0.fit(device)
    }
    guard let fitting else {
      throw AttentionError.cannotRun(
        device: device.identifier, reason: "no tile of the kernels of top_keys and received fits it")
    }
    return fitting
  }

  /// What to try, best first. Where the score matrix itself is asked for it has to be made; otherwise one pass is better.
  package static func candidates(
    for problem: AttentionProblem, on device: DeviceProfile, kernel: KernelChoice
  ) -> [KernelTiles] {
    let staged = StagedTiles.candidates(for: device.deviceClass).map(KernelTiles.staged)
    if kernel == .staged || problem.outputs.needsScoreMatrix { return staged }
    // The attention received is summed tile by tile: slices of a mask must then be whole tiles of that product too.
    if problem.outputs.needsInsight && (problem.mask != nil || kernel == .decode) { return staged }
    let decode = DecodeTiles.candidates(for: device, rows: problem.groupSize * problem.queryLength)
      .map(KernelTiles.decode)
    if kernel == .decode { return decode }
    let fused: [KernelTiles] =
      switch device.deviceClass {
      case .cpu:
        FusedCPUTiles.candidates(vectorWidth: device.vectorWidth, amx: device.amx).map(KernelTiles.fusedCPU)
      case .gpu:
        FusedGPUTiles.candidates(
          vendor: device.vendor, headDimension: problem.headDimension, valueDimension: problem.valueDimension,
          matrixUnits: device.matrixUnits[problem.elementType]
        ).map(KernelTiles.fusedGPU)
      case .native, .reference: []
      }
    if kernel == .fused { return fused }
    // Packed sequences have lengths of their own, and one's result must not depend on the longest beside it.
    let isDecoding = problem.isDecoding && problem.layout != .thd && !problem.outputs.needsInsight
    return isDecoding ? decode + fused + staged : fused + staged
  }

  /// Whether a device's limits admit these tiles.
  package func fit(_ problem: AttentionProblem, _ device: DeviceProfile) -> Bool {
    switch self {
    case .staged(let tiles): tiles.fit(device)
    case .fusedCPU(let tiles): tiles.fit(device, problem)
    case .fusedGPU(let tiles):
      tiles.fit(
        device, problem.elementType, headDimension: problem.headDimension, valueDimension: problem.valueDimension)
    case .decode(let tiles):
      tiles.fit(device, headDimension: problem.headDimension, valueDimension: problem.valueDimension)
    }
  }
}

extension KernelTiles: CustomStringConvertible {
  public var description: String {
    switch self {
    case .staged(let tiles): "\(tiles)"
    case .fusedCPU(let tiles): "\(tiles)"
    case .fusedGPU(let tiles): "\(tiles)"
    case .decode(let tiles): "\(tiles)"
    }
  }
}
