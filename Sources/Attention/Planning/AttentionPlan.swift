/// How and where a problem is computed: a value, made from the problem and the devices' profiles alone.
public struct AttentionPlan: Sendable, Equatable {
  /// What one device does: a range of heads, `b · Hq + h`.
  public struct Part: Sendable, Equatable {
    public let device: DeviceProfile
    public let heads: Range<Int>
    public let work: Work

    /// `staged`, `fused`, `decode` or `reference`; of the CPU backend, both of two that its heads take: `fused,decode`.
    public var kernelName: String {
      switch work {
      case .cpu(let plan): plan.kernelName
      case .reference: "reference"
      case .kernels(let plan): plan.tiles.kernel.rawValue
      }
    }
  }

  /// How a device does its part.
  public enum Work: Sendable, Equatable {
    /// The float64 reference.
    case reference
    /// The vector kernels of this package on the CPU.
    case cpu(CPUPlan)
    /// OpenCL kernels.
    case kernels(DevicePlan)
  }

  public let parts: [Part]
}

/// The kernels' plan on one device.
public struct DevicePlan: Sendable, Equatable {
  /// Heads whose operands are on the device together. They are computed in slices of queries, one after the other, with
  /// each slice's score matrix (of staged kernels) and rows of the mask in the same buffers.
  ///
  /// ```
  ///            keys ───────────►
  ///          ┌───────────────────┐
  ///  queries │ slice 0           │   each slice: heads × rows × scoreStride floats
  ///     │    ├───────────────────┤
  ///     ▼    │ slice 1           │
  ///          └───────────────────┘
  /// ```
  public struct Block: Sendable, Equatable {
    public let heads: Range<Int>
    /// Queries of a slice; a multiple of the tile's rows, so that a row's result does not depend on the slicing.
    public let sliceRows: Int
    /// Queries of the block's longest head.
    public let queryLength: Int
    /// Elements from one row of the score matrix to the next: the longest head's keys, rounded up to the tile. 0 where
    /// there is no score matrix.
    public let scoreStride: Int
    /// Bytes of the operands and results.
    public let operandBytes: Int
    /// Bytes of what the kernels need beside them: the score matrix, packed keys and values, rows of the mask.
    public let scratchBytes: Int

    public var slices: [Range<Int>] {
      stride(from: 0, to: queryLength, by: sliceRows).map { $0..<min($0 + sliceRows, queryLength) }
    }
  }

  public let tiles: KernelTiles
  /// Whether the tiles are what `attend tune` found on the device, and not a row of the table.
  public let tilesAreTuned: Bool
  /// The tiles of the products that find the most attended keys and the attention received; nil where neither is asked for.
  public let insightTiles: StagedTiles?
  /// Whether rows begin at multiples of four elements, which allows whole-vector loads.
  public let aligned: Bool
  /// Whether keys and values are read where the caller has them, and not brought to the device.
  public let keysInPlace: Bool
  /// How decode kernels cut keys into pieces.
  package let split: DecodeSplit
  public let blocks: [Block]

  /// Blocks that are under way together: two, so that transfers overlap, where the device's memory holds them.
  public let blocksUnderWay: Int

  /// The most device memory taken at once.
  public var peakBytes: Int { Self.peakBytes(of: blocks, underWay: blocksUnderWay) }

  static func peakBytes(of blocks: [Block], underWay: Int) -> Int {
    let sizes = blocks.map(\.operandBytes)
    let overlapping = underWay > 1 ? zip(sizes, sizes.dropFirst()).map(+).max() ?? 0 : 0
    return max(overlapping, sizes.max() ?? 0) + (blocks.map(\.scratchBytes).max() ?? 0)
  }
}
