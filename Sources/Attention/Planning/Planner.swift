/// Which kernels to use.
public enum KernelChoice: String, Sendable, Hashable, CaseIterable {
  /// What the planner finds best.
  case auto
  /// QKᵀ, masked softmax and weighted V as three kernels.
  case staged
}

extension AttentionPlan {
  /// Plans a problem on the devices given, dividing its heads between them by their relative speed.
  ///
  /// - Throws: ``AttentionError/cannotRun(device:reason:)`` where a device's limits do not admit its part, and
  ///   ``AttentionError/noDevice(requested:available:)`` where there is no device.
  public init(_ problem: AttentionProblem, devices: [DeviceProfile], kernel: KernelChoice = .auto) throws {
    guard !devices.isEmpty else { throw AttentionError.noDevice(requested: "none", available: []) }
    parts = try Self.split(heads: problem.headCount, between: devices).map { device, heads in
      guard device.deviceClass != .reference else { return Part(device: device, heads: heads, work: .reference) }
      return Part(
        device: device, heads: heads, work: .staged(try StagedPlan(problem, heads: heads, on: device)))
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

extension StagedPlan {
  /// Enough work to fill a device: a larger score matrix would only take memory.
  private static let usefulScoreBytes = 128 << 20
  /// Transfers worth overlapping with work on a device that has memory of its own.
  private static let usefulTransferBytes = 16 << 20

  init(_ problem: AttentionProblem, heads: Range<Int>, on device: DeviceProfile) throws {
    guard let tiles = StagedTiles.candidates(for: device.deviceClass).first(where: { $0.fit(device) }) else {
      throw AttentionError.cannotRun(
        device: device.identifier,
        reason: "no tile fits \(device.localMemory) bytes of local memory and \(device.maxWorkGroupSize) work-items")
    }
    self.tiles = tiles
    aligned = problem.headDimension % 4 == 0 && problem.valueDimension % 4 == 0
    var builder = BlockBuilder(problem, tiles: tiles, device: device)
    builder.scoreLimit = min(device.maxAllocation, Self.usefulScoreBytes, device.globalMemory / 4)
    builder.operandLimit = device.globalMemory / 4
    if !device.hostUnifiedMemory, problem.operandBytes > Self.usefulTransferBytes {
      builder.operandLimit = min(builder.operandLimit, problem.operandBytes / 4)
    }
    blocks = try builder.blocks(of: heads)
    blocksUnderWay = Self.peakBytes(of: blocks, underWay: 2) <= device.globalMemory ? 2 : 1
  }
}

/// Cuts a range of heads into blocks whose operands and score matrix fit a device.
private struct BlockBuilder {
  let problem: AttentionProblem
  let tiles: StagedTiles
  let device: DeviceProfile
  var scoreLimit = 0
  var operandLimit = 0

  init(_ problem: AttentionProblem, tiles: StagedTiles, device: DeviceProfile) {
    self.problem = problem
    self.tiles = tiles
    self.device = device
  }

  func blocks(of heads: Range<Int>) throws -> [StagedPlan.Block] {
    var blocks: [StagedPlan.Block] = []
    var first = heads.lowerBound
    while first < heads.upperBound {
      // A block grows while it fits, and while no more than half of its score matrix is padding between heads of
      // different lengths.
      var extent = Extent(self, head: first)
      var end = first + 1
      while end < heads.upperBound {
        let larger = extent.adding(head: end)
        guard larger.scoreBytes(rows: larger.paddedRows, heads: end + 1 - first) <= scoreLimit,
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

  private func block(_ heads: Range<Int>, _ extent: Extent) throws -> StagedPlan.Block {
    let tileBytes = extent.scoreBytes(rows: tiles.tileRows, heads: heads.count)
    let tilesOfRows = max(1, min(extent.paddedRows / tiles.tileRows, scoreLimit / max(1, tileBytes)))
    let rows = tilesOfRows * tiles.tileRows
    let scoreBytes = extent.scoreBytes(rows: rows, heads: heads.count)
    for (what, bytes) in [("operand", extent.largestBuffer), ("slice of scores", scoreBytes)]
    where bytes > device.maxAllocation {
      throw AttentionError.cannotRun(
        device: device.identifier,
        reason: "one head's \(what) takes \(bytes) bytes, its largest allocation is \(device.maxAllocation)")
    }
    guard extent.operandBytes + scoreBytes <= device.globalMemory else {
      throw AttentionError.cannotRun(
        device: device.identifier,
        reason: "one head takes \(extent.operandBytes + scoreBytes) bytes, its memory is \(device.globalMemory)")
    }
    return StagedPlan.Block(
      heads: heads, sliceRows: rows, queryLength: extent.queryLength, scoreStride: extent.scoreStride,
      operandBytes: extent.operandBytes, scoreBytes: scoreBytes)
  }

  /// What the heads gathered so far need.
  struct Extent {
    private let problem: AttentionProblem
    private let tiles: StagedTiles
    private let bytesAnElement: Int
    var queryLength = 0
    var scoreStride: Int
    var elements = 0
    var queryBytes = 0
    var keyBytes = 0
    var valueBytes = 0
    var outputBytes = 0
    var insight: InsightExtent
    var lastKeyHead = -1

    init(_ builder: BlockBuilder, head: Int) {
      problem = builder.problem
      tiles = builder.tiles
      scoreStride = tiles.tileColumns
      bytesAnElement = problem.elementType.byteCount
      insight = InsightExtent(problem)
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
      let ownStride = max(tiles.tileColumns, roundedUp(sequence.keyLength, to: tiles.tileColumns))
      insight.add(sequence)
      queryLength = max(queryLength, sequence.queryLength)
      scoreStride = max(scoreStride, ownStride)
      elements += roundedUp(sequence.queryLength, to: tiles.tileRows) * ownStride
      queryBytes += sequence.queryLength * problem.headDimension * bytesAnElement
      outputBytes += sequence.queryLength * (problem.valueDimension * bytesAnElement + 4)
      if keyHead != lastKeyHead {
        keyBytes += sequence.keyLength * problem.headDimension * bytesAnElement
        valueBytes += sequence.keyLength * problem.valueDimension * bytesAnElement
        lastKeyHead = keyHead
      }
    }

    var paddedRows: Int { roundedUp(max(1, queryLength), to: tiles.tileRows) }
    var operandBytes: Int { queryBytes + keyBytes + valueBytes + outputBytes + insight.byteCount }
    var largestBuffer: Int { max(queryBytes, keyBytes, valueBytes, outputBytes, insight.largestBuffer) }

    /// Scores, the softmax's parts, and the mask's rows.
    func scoreBytes(rows: Int, heads: Int) -> Int {
      let chunks = (scoreStride + tiles.chunk - 1) / tiles.chunk
      return heads * (rows * (scoreStride * 4 + 8 * chunks) + maskBytes(rows: rows))
    }

    /// The mask's rows for one head. They are as long as the longest head's, whatever this one's.
    private func maskBytes(rows: Int) -> Int {
      problem.mask.map { $0.planeElements(rows: rows, keys: problem.keyLength) * $0.elementType.byteCount } ?? 0
    }

    func paddedElements(heads: Int) -> Int { heads * paddedRows * scoreStride }
  }
}

func roundedUp(_ length: Int, to multiple: Int) -> Int { (length + multiple - 1) / multiple * multiple }
