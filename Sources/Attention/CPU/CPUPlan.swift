import CAttention

/// How the CPU backend computes some heads: a value, made from the problem and the device's profile alone.
public struct CPUPlan: Sendable, Equatable {
  /// The two ways through a head.
  public enum Pass: String, Sendable {
    /// Keys and values packed, a tile of queries at a time.
    case fused
    /// Few queries: keys and values read where they lie, in splits that are merged.
    case decode
  }

  /// Neighbouring heads that are computed together, in one pass.
  public struct Block: Sendable, Equatable {
    public let heads: Range<Int>
    public let pass: Pass
    /// Bytes of packed keys and values, or of what the splits come to; the larger where a pass takes first these, then those.
    public let byteCount: Int
  }

  public let instructionSet: InstructionSet
  public let threads: Int
  public let tileRows: Int
  public let tileKeys: Int
  public let blocks: [Block]

  /// Where each worker packs the keys that it reads by itself, the most keys that it packs at once (`CPUPart`); nil where they are
  /// packed for all of a block before any is read.
  public let partKeys: Int?

  /// The most memory taken at once, beside the call's own tensors: of a block, and of each thread.
  public let scratchBytes: Int

  /// The passes that its blocks take, joined by a comma.
  public var kernelName: String {
    [Pass.fused, .decode].filter { pass in blocks.contains { $0.pass == pass } }.map(\.rawValue).joined(separator: ",")
  }

  /// A sequence of no more queries than this is decoded. It is a question of the sequence alone, so that what is beside it
  /// changes no bits.
  static let mostDecodedQueries = 16

  /// Packed keys and values worth having at once: enough for the threads, and more would only take memory.
  private static func usefulBytes(_ device: DeviceProfile) -> Int {
    min(32 << 20, device.maxAllocation, device.globalMemory / 8)
  }

  /// Packed keys and values of one worker that stay in its processor's own cache.
  private static let partBytes = 3 << 19

  /// The keys of the largest part, where workers had better compute parts: where these are small, yet enough to keep all workers busy to
  /// the end, and nothing is asked for that walks all of a head's keys again.
  private static func partKeys(
    _ sequences: [AttentionSequence], _ outputs: AttentionOutputs, tileRows: Int, tileKeys: Int, mostKeys: Int,
    threads: Int
  ) -> Int? {
    guard !sequences.isEmpty, !outputs.needsRows else { return nil }
    var (count, largest) = (0, 0)
    for sequence in sequences {
      guard let parts = sequence.parts(tileRows: tileRows, tileKeys: tileKeys, mostKeys: mostKeys) else { return nil }
      count += parts.count
      largest = max(largest, parts.map(\.keys.count).max() ?? 0)
    }
    return count.tiles(of: threads) * threads <= count + count / 8 ? largest : nil
  }

  /// - Throws: ``AttentionError/cannotRun(device:reason:)`` where the processor lacks the profile's instruction set, or the
  ///   machine the memory.
  init(_ problem: AttentionProblem, heads: Range<Int>, on device: DeviceProfile) throws {
    guard let set = device.instructionSet, let kernels = set.kernels?.pointee else {
      throw AttentionError.cannotRun(
        device: device.identifier,
        reason: "this processor has no \(device.instructionSet?.rawValue ?? "instruction set")")
    }
    instructionSet = set
    threads = device.units
    tileRows = Int(kernels.tile_rows)
    tileKeys = Int(kernels.tile_keys)
    var call = attention_call(problem)
    let partialFloats = kernels.partial_floats(&call)
    func packedBytes(keys: Int) throws -> Int {
      try Tensor.byteCount(
        shape: [kernels.packed_key_floats(&call, Int32(keys)) + kernels.packed_value_floats(&call, Int32(keys))],
        elementType: .float32)
    }
    func pass(_ sequence: AttentionSequence) -> Pass {
      sequence.queryLength <= Self.mostDecodedQueries ? .decode : .fused
    }

    let groups = problem.groups(of: heads)
    let usefulBytes = Self.usefulBytes(device)
    let partTiles = min(Self.partBytes, usefulBytes / threads) / max(1, try packedBytes(keys: tileKeys))
    let partKeys = Self.partKeys(
      groups.map { problem.sequences[$0.batch] }.filter { pass($0) == .fused }, problem.outputs,
      tileRows: tileRows, tileKeys: tileKeys, mostKeys: partTiles * tileKeys, threads: threads)
    self.partKeys = partKeys

    var blocks: [Block] = []
    for group in groups {
      let sequence = problem.sequences[group.batch]
      let keys = sequence.packedKeys(tile: tileKeys)
      let pass = pass(sequence)
      let ownKeys = pass == .fused ? partKeys : nil
      let bytes =
        switch pass {
        case .fused: try packedBytes(keys: ownKeys ?? keys.count) * (ownKeys == nil ? 1 : threads)
        case .decode:
          // (Lists and weights come from packed keys.)
          try max(
            Tensor.byteCount(
              shape: [keys.count.tiles(of: tileKeys), group.heads.count, sequence.queryLength, partialFloats],
              elementType: .float32),
            problem.outputs.needsRows ? packedBytes(keys: keys.count) : 0)
        }
      guard bytes <= device.globalMemory else {
        throw AttentionError.cannotRun(
          device: device.identifier,
          reason: "one key/value head takes \(bytes) bytes beside the tensors, its memory is \(device.globalMemory)")
      }
      // Parts of however many heads have the same memory.
      if let last = blocks.last, last.pass == pass, ownKeys != nil || bytes <= usefulBytes - last.byteCount {
        blocks[blocks.count - 1] = Block(
          heads: last.heads.lowerBound..<group.heads.upperBound, pass: pass,
          byteCount: ownKeys == nil ? last.byteCount + bytes : bytes)
      } else {
        blocks.append(Block(heads: group.heads, pass: pass, byteCount: bytes))
      }
    }
    self.blocks = blocks
    scratchBytes = (blocks.map(\.byteCount).max() ?? 0) + threads * kernels.scratch_bytes(&call)
  }
}

/// Neighbouring query heads of one batch entry that share a key/value head.
struct HeadGroup {
  let batch: Int
  let keyHead: Int
  /// `b · Hq + h`.
  let heads: Range<Int>
}

extension AttentionProblem {
  /// A range of heads (`b · Hq + h`) by the key/value heads that they read.
  func groups(of heads: Range<Int>) -> [HeadGroup] {
    guard !heads.isEmpty else { return [] }
    return (heads.lowerBound / groupSize...(heads.upperBound - 1) / groupSize).map { index in
      HeadGroup(
        batch: index / keyValueHeads, keyHead: index % keyValueHeads,
        heads: (index * groupSize..<(index + 1) * groupSize).clamped(to: heads))
    }
  }
}

extension AttentionSequence {
  /// The keys that some query sees by position, from a whole tile on.
  package func packedKeys(tile: Int) -> Range<Int> {
    guard queryLength > 0 else { return 0..<0 }
    let visible = visibleKeys(queries: 0..<queryLength)
    return visible.isEmpty ? 0..<0 : visible.lowerBound / tile * tile..<visible.upperBound
  }
}

extension attention_call {
  /// What all heads of a problem share. Plans do not ask how rows are stored.
  init(_ problem: AttentionProblem, _ rows: CPURows? = nil) {
    self.init()
    storage = problem.elementType.cStorage ?? ATTENTION_FLOAT32
    row_storage = rows?.storage ?? storage
    key_width = Int32(rows?.keyWidth ?? problem.headDimension)
    value_width = Int32(rows?.valueWidth ?? problem.valueDimension)
    head_dimension = Int32(problem.headDimension)
    value_dimension = Int32(problem.valueDimension)
    scale = problem.scale
    softcap = problem.softcap ?? 0
    has_sinks = problem.usesSinks
    if let mask = problem.mask {
      mask_kind = mask.elementType.cMaskKind
      mask_query_stride = mask.queryStride
      mask_key_stride = mask.keyStride
    }
    if let blocks = problem.blockMask {
      query_block = Int32(blocks.queryBlock)
      key_block = Int32(blocks.keyBlock)
      block_query_stride = blocks.grid.queryStride
      block_key_stride = blocks.grid.keyStride
    }
    top_key_count = Int32(problem.topKeyCount)
  }
}

extension ElementType {
  fileprivate var cMaskKind: attention_mask_kind {
    switch self {
    case .bool: ATTENTION_MASK_BOOL
    case .float32: ATTENTION_MASK_FLOAT32
    case .float16: ATTENTION_MASK_FLOAT16
    case .bfloat16: ATTENTION_MASK_BFLOAT16
    case .float64, .int32, .int64: ATTENTION_MASK_NONE
    }
  }
}
