/// Which kernels to use.
public enum KernelChoice: String, Sendable, Hashable, CaseIterable {
  /// What the planner finds best: on OpenCL devices `decode` up to 16 queries that are not packed, else `fused` or `staged`.
  case auto
  /// QKᵀ, masked softmax and weighted V as three kernels.
  case staged
  /// One pass over the keys, no score matrix in memory. A call that asks for weights or scores, or for the most attended
  /// keys or the attention received under a mask tensor, gets the staged kernels.
  case fused
  /// Keys cut into pieces that are read side by side and merged: for few queries. A call that asks for weights or scores, the
  /// most attended keys or the attention received gets the staged kernels.
  case decode
}

extension AttentionPlan {
  /// Plans a problem on the devices given, dividing its heads between them by their relative speed.
  ///
  /// - Parameters:
  ///   - problem: What is to be computed.
  ///   - devices: The devices that share it.
  ///   - kernel: Which kernels to use.
  ///   - overlappingTransfers: Whether large operands are sent in several blocks, so that one's transfer overlaps another's
  ///     kernels; of no use where they are on the device.
  /// - Throws: ``AttentionError/cannotRun(device:reason:)`` where a device's limits do not admit its part, and
  ///   ``AttentionError/noDevice(requested:available:)`` where there is no device.
  public init(
    _ problem: AttentionProblem, devices: [DeviceProfile], kernel: KernelChoice = .auto,
    overlappingTransfers: Bool = true
  ) throws {
    guard !devices.isEmpty else { throw AttentionError.noDevice(requested: "none", available: []) }
    parts = try Self.split(heads: problem.headCount, between: devices).map { device, heads in
      let work: Work =
        switch device.deviceClass {
        case .reference: .reference
        case .native: .cpu(try CPUPlan(problem, heads: heads, on: device))
        case .gpu, .cpu:
          .kernels(
            try DevicePlan(
              problem, heads: heads, on: device, kernel: kernel, overlappingTransfers: overlappingTransfers))
        }
      return Part(device: device, heads: heads, work: work)
    }
  }

  /// Contiguous ranges in proportion to speed; every device gets a head while there are enough.
  static func split(heads: Int, between devices: [DeviceProfile]) -> [(DeviceProfile, Range<Int>)] {
    let total = devices.reduce(0) { $0 + $1.relativeSpeed }
    var parts: [(DeviceProfile, Range<Int>)] = []
    var (first, speed) = (0, 0.0)
    for (index, device) in devices.enumerated() {
      speed += device.relativeSpeed
      let later = devices.count - index - 1
      let share = Int((Double(heads) * speed / total).rounded())
      let end = later == 0 ? heads : max(min(share, heads - later), min(first + 1, heads))
      if end > first { parts.append((device, first..<end)) }
      first = max(first, end)
    }
    return parts
  }
}

extension DevicePlan {
  /// Enough work to fill a device: a larger score matrix, or more keys and values packed at once, would only take memory.
  private static func usefulScratchBytes(_ tiles: KernelTiles) -> Int { tiles.kernel == .staged ? 128 << 20 : 32 << 20 }
  /// Transfers worth overlapping with work on a device that has memory of its own.
  private static let usefulTransferBytes = 16 << 20

  init(
    _ problem: AttentionProblem, heads: Range<Int>, on device: DeviceProfile, kernel: KernelChoice,
    overlappingTransfers: Bool
  ) throws {
    (tiles, tilesAreTuned) = try KernelTiles.best(for: problem, on: device, kernel: kernel)
    insightTiles = problem.outputs.needsInsight ? try KernelTiles.insight(beside: tiles, on: device) : nil
    aligned = problem.headDimension % 4 == 0 && problem.valueDimension % 4 == 0
    keysInPlace = tiles.kernel == .decode && problem.keysFit(device)
    var builder = BlockBuilder(problem, tiles: tiles, device: device)
    builder.insightTiles = insightTiles
    split = builder.split
    builder.keysInPlace = keysInPlace
    builder.scratchLimit = min(device.maxAllocation, Self.usefulScratchBytes(tiles), device.globalMemory / 4)
    builder.operandLimit = device.globalMemory / 4
    if overlappingTransfers, !device.hostUnifiedMemory, problem.operandBytes > Self.usefulTransferBytes {
      builder.operandLimit = min(builder.operandLimit, problem.operandBytes / 4)
    }
    blocks = try builder.blocks(of: heads)
    blocksUnderWay = Self.peakBytes(of: blocks, underWay: 2) <= device.globalMemory ? 2 : 1
  }
}

/// Cuts a range of heads into blocks whose operands and score matrix fit a device.
private struct BlockBuilder {
  let problem: AttentionProblem
  let tiles: KernelTiles
  let device: DeviceProfile
  var scratchLimit = 0
  var operandLimit = 0
  var keysInPlace = false
  var insightTiles: StagedTiles?
  let split: DecodeSplit

  init(_ problem: AttentionProblem, tiles: KernelTiles, device: DeviceProfile) {
    self.problem = problem
    self.tiles = tiles
    self.device = device
    split = DecodeSplit(keyValueHeads: problem.keyValueHeads, on: device)
  }

  func blocks(of heads: Range<Int>) throws -> [DevicePlan.Block] {
    var blocks: [DevicePlan.Block] = []
    var first = heads.lowerBound
    while first < heads.upperBound {
      // A block grows while it fits, and while no more than half of its score matrix is padding between heads of
      // different lengths.
      var extent = Extent(self, head: first)
      var end = first + 1
      while end < heads.upperBound {
        let larger = extent.adding(head: end)
        guard larger.scratchBytes(rows: larger.paddedRows, heads: end + 1 - first) <= scratchLimit,
          larger.operandBytes <= operandLimit, larger.largestBuffer <= device.maxAllocation,
          larger.paddedElements(heads: end + 1 - first) <= 2 * larger.elements
        else { break }
        extent = larger
        end += 1
      }
      blocks.append(try block(first..<end, extent))
      first = end
    }
    return blocks
  }

  private func block(_ heads: Range<Int>, _ extent: Extent) throws -> DevicePlan.Block {
    let fixedBytes = extent.scratchBytes(rows: 0, heads: heads.count)
    let tileBytes = extent.scratchBytes(rows: tiles.tileRows, heads: heads.count) - fixedBytes
    let allTiles = extent.paddedRows / tiles.tileRows
    let fitting = tileBytes == 0 ? allTiles : max(0, scratchLimit - fixedBytes) / tileBytes
    let rows = max(1, min(allTiles, fitting)) * tiles.tileRows
    let scratchBytes = extent.scratchBytes(rows: rows, heads: heads.count)
    for (what, bytes) in [("operand", extent.largestBuffer), ("slice of the work", scratchBytes)]
    where bytes > device.maxAllocation {
      throw AttentionError.cannotRun(
        device: device.identifier,
        reason: "one head's \(what) takes \(bytes) bytes, its largest allocation is \(device.maxAllocation)")
    }
    guard extent.operandBytes + scratchBytes <= device.globalMemory else {
      throw AttentionError.cannotRun(
        device: device.identifier,
        reason: "one head takes \(extent.operandBytes + scratchBytes) bytes, its memory is \(device.globalMemory)")
    }
    return DevicePlan.Block(
      heads: heads, sliceRows: rows, queryLength: extent.queryLength, scoreStride: extent.scoreStride,
      operandBytes: extent.operandBytes, scratchBytes: scratchBytes)
  }

  /// What the heads gathered so far need.
  struct Extent {
    private let problem: AttentionProblem
    private let tiles: KernelTiles
    private let bytesAnElement: Int
    private let keysInPlace: Bool
    private let split: DecodeSplit
    var queryLength = 0
    var scoreStride = 0
    var elements = 0
    var packedBytes = 0
    /// Partial results of a row of queries, all its pieces.
    var partialFloats = 0
    var queryBytes = 0
    var keyBytes = 0
    var valueBytes = 0
    var outputBytes = 0
    var insight: InsightExtent
    var lastKeyHead = -1
    var blockMaskBytes = 0
    var lastBlockPlane = -1

    init(_ builder: BlockBuilder, head: Int) {
      problem = builder.problem
      tiles = builder.tiles
      bytesAnElement = problem.elementType.byteCount
      keysInPlace = builder.keysInPlace
      split = builder.split
      insight = InsightExtent(problem, tiles: builder.insightTiles)
      add(head: head)
    }

    func adding(head: Int) -> Extent {
      var extent = self
      extent.add(head: head)
      return extent
    }

    private mutating func add(head: Int) {
      let sequence = problem.sequences[head / problem.queryHeads]
      let keyHead = head / problem.groupSize
      insight.add(sequence)
      queryLength = max(queryLength, sequence.queryLength)
      if case .staged(let tiles) = tiles {
        let ownStride = max(tiles.tileColumns, roundedUp(sequence.keyLength, to: tiles.tileColumns))
        scoreStride = max(scoreStride, ownStride)
        elements += roundedUp(sequence.queryLength, to: tiles.tileRows) * ownStride
      }
      if tiles.kernel == .decode {
        // Of the longest head, for all of them.
        partialFloats = max(partialFloats, split.pieces(keyLength: sequence.keyLength) * (problem.valueDimension + 2))
      }
      queryBytes += sequence.queryLength * problem.headDimension * bytesAnElement
      outputBytes += sequence.queryLength * (problem.valueDimension * bytesAnElement + 4)
      if keyHead != lastKeyHead {
        if !keysInPlace {
          keyBytes += sequence.keyLength * problem.headDimension * bytesAnElement
          valueBytes += sequence.keyLength * problem.valueDimension * bytesAnElement
        }
        if case .fusedCPU(let tiles) = tiles {
          packedBytes += tiles.packedBytes(keys: sequence.keyLength, problem)
        }
        lastKeyHead = keyHead
      }
      if let mask = problem.blockMask {
        let plane = mask.grid.offset(batch: head / problem.queryHeads, head: head % problem.queryHeads)
        if plane != lastBlockPlane { blockMaskBytes += mask.planeElements }
        lastBlockPlane = plane
      }
    }

    var paddedRows: Int { roundedUp(max(1, queryLength), to: tiles.tileRows) }
    var operandBytes: Int { queryBytes + keyBytes + valueBytes + outputBytes + blockMaskBytes + insight.byteCount }
    var largestBuffer: Int { max(queryBytes, keyBytes, valueBytes, outputBytes, blockMaskBytes, insight.largestBuffer) }

    /// Packed keys and values, and for each row of each head its scores, the softmax's parts, and the mask's row.
    func scratchBytes(rows: Int, heads: Int) -> Int {
      var rowBytes = 0
      if case .staged(let tiles) = tiles {
        let chunks = scoreStride.tiles(of: tiles.chunk)
        rowBytes = scoreStride * 4 + 8 * chunks
      }
      if case .decode = tiles { rowBytes = 4 * partialFloats }
      return packedBytes + heads * (rows * rowBytes + maskBytes(rows: rows))
    }

    /// The mask's rows for one head, and for fused kernels the classes of its tiles. They are as long as the longest
    /// head's, whatever this one's.
    private func maskBytes(rows: Int) -> Int {
      guard let mask = problem.mask, rows > 0 else { return 0 }
      let classes = tiles.kernel == .fused ? mask.tileCount(rows: rows, keys: problem.keyLength, tiles) : 0
      return mask.planeElements(rows: rows, keys: problem.keyLength) * mask.elementType.byteCount + classes
    }

    func paddedElements(heads: Int) -> Int { heads * paddedRows * scoreStride }
  }
}

extension AttentionProblem {
  /// Whether a device can read keys and values where the caller has them: it shares the host's memory, and their rows stand
  /// at equal distances.
  func keysFit(_ device: DeviceProfile) -> Bool {
    device.hostUnifiedMemory && device.deviceClass == .cpu && operands.pastLength == 0
      && max(operands.keyBytes, operands.valueBytes) <= device.maxAllocation
  }
}
