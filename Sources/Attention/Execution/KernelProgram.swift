import OpenCL

/// Kernels that are built together: what a device is given to compile.
package struct KernelProgram: Sendable, Hashable {
  package let kernels: [String]
  /// Files of Kernels without ".cl", in the order in which the compiler sees them.
  package let sources: [String]
  package let options: [String]

  package init(kernels: [String], sources: [String], options: [String]) {
    self.kernels = kernels
    self.sources = sources
    self.options = options
  }

  package func build(_ context: Context) throws(OpenCLError) -> Program {
    try Program(context, sources: sources, options: options.joined(separator: " "))
  }
}

extension DevicePlan {
  /// The programs that the plan's kernels are in, as the device that it is for builds them. No device is needed to ask.
  package func programs(for problem: AttentionProblem, on device: DeviceProfile) -> [KernelProgram] {
    let sizes = device.requiredSubgroupSizes
    let main: [KernelProgram] =
      switch tiles {
      case .staged(let tiles): [StagedKernels.Key(problem, self, tiles).program(subgroupSizes: sizes)]
      case .fusedCPU(let tiles): [FusedCPUKernels.Key(problem, self, tiles).program]
      case .fusedGPU(let tiles): [FusedGPUKernels.Key(problem, self, tiles).program(subgroupSizes: sizes)]
      case .decode(let tiles):
        DecodeKernels.Key(problem, self, tiles).programs(subgroupSizes: sizes)
      }
    let insight = insightTiles.map { StagedKernels.Key(problem, self, $0).insightProgram(subgroupSizes: sizes) }
    return main + [insight].compactMap { $0 }
  }
}

extension DecodeKernels.Key {
  fileprivate func programs(subgroupSizes: [Int]) -> [KernelProgram] {
    [program(subgroupSizes: subgroupSizes), mergeProgram]
  }
}

/// What a device builds for a cache.
package struct CachePrograms: Sendable {
  /// The tiles of the decode kernels, in words.
  package let tiles: String
  /// Attention to the cache, the merging of its pieces, appending to it, gathering its rows, and rotating tensors.
  package let programs: [KernelProgram]

  /// - Parameters:
  ///   - problem: Queries of a call to the cache; its keys and values stand for those of the cache.
  ///   - storage: How the cache keeps them.
  /// - Throws: ``AttentionError/cannotRun(device:reason:)`` where the device has no kernels of caches.
  package init(_ problem: AttentionProblem, _ storage: KVCacheStorage, on device: DeviceProfile) throws(AttentionError)
  {
    guard let tiles = DecodeTiles.fitting(problem, device).first else {
      throw AttentionError.cannotRun(device: device.identifier, reason: "no tile of the decode kernels fits it")
    }
    let key = DecodeKernels.Key(
      problem, cache: storage, storedValues: problem.valueDimension, rotaryPairs: 0, tiles)
    let append = CacheKernels.Key(
      elementType: problem.elementType, storage: storage.rows, keyWidth: problem.headDimension,
      valueWidth: problem.valueDimension, rotaryPairs: 0)
    self.tiles = "\(tiles)"
    programs =
      key.programs(subgroupSizes: device.requiredSubgroupSizes) + [
        append.program,
        GatherProgram.program(
          GatherProgram.Key(elementType: storage.gathered(for: problem.elementType), storage: storage.rows)),
        RotaryProgram.program(problem.elementType),
      ]
  }
}
