import OpenCL

extension KernelTiles {
  /// A family of kernels with sizes to search, whose tiles are a row of the same sizes.
  package enum Family: String, Sendable, Hashable, CaseIterable {
    case staged
    case fusedCPU = "fused-cpu"
    case fusedGPU = "fused-gpu"

    /// What the sizes are called, as in the heading of the family's table.
    package var sizeNames: String {
      switch self {
      case .staged: "groupX groupY rows columns vector depth softmaxItems softmaxVector chunk"
      case .fusedCPU: "vector rows columns rowBlocks keyPanels amx"
      case .fusedGPU: "rows keys groupX groupY oneBuffer depth valueKeys prefetch scoreUnroll matrixUnits"
      }
    }

    /// A digest of the kernels' sources: tiles that were tuned for others say nothing of these.
    package var kernelDigest: String {
      switch self {
      case .staged: KernelSource.digest(of: StagedKernels.sources)
      case .fusedCPU: KernelSource.digest(of: FusedCPUKernels.allSources)
      case .fusedGPU: KernelSource.digest(of: FusedGPUKernels.allSources)
      }
    }
  }

  /// nil for the decode kernels: their sizes follow from the call, and are not searched.
  package var family: Family? {
    switch self {
    case .staged: .staged
    case .fusedCPU: .fusedCPU
    case .fusedGPU: .fusedGPU
    case .decode: nil
    }
  }

  /// The sizes, in the order of ``Family/sizeNames``.
  package var sizes: [Int] {
    switch self {
    case .staged(let tiles): tiles.sizes
    case .fusedCPU(let tiles): tiles.sizes
    case .fusedGPU(let tiles): tiles.sizes
    case .decode: []
    }
  }

  /// Tiles of these sizes for a device of this vendor; nil where they are not as many as the family has. Whether they
  /// can be used is for ``fit(_:_:)`` to say.
  package init?(_ family: Family, sizes: [Int], vendor: DeviceVendor) {
    let tiles: KernelTiles? =
      switch family {
      case .staged: StagedTiles(sizes: sizes).map(KernelTiles.staged)
      case .fusedCPU: FusedCPUTiles(sizes: sizes).map(KernelTiles.fusedCPU)
      case .fusedGPU: FusedGPUTiles(sizes: sizes, vendor: vendor).map(KernelTiles.fusedGPU)
      }
    guard let tiles else { return nil }
    self = tiles
  }
}
