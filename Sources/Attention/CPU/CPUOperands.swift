import CAttention

/// What the C kernels read: where a call's queries and masks are in memory, and each head's rows of keys and values, wherever
/// those lie. Its memory must outlive the heads that are made of it.
struct CPUOperands {
  let query: UnsafePointer<CChar>
  let mask, blocks: UnsafePointer<UInt8>?
  let alibiSlopes, sinks: [Float]?
  let rows: CPURows

  init(
    query: Tensor, mask: AttentionMask, alibiSlopes: [Float]?, sinks: [Float]?, rows: CPURows
  ) {
    self.query = Self.bytes(query)
    self.mask = mask.tensor.map { UnsafePointer($0.storage.base.assumingMemoryBound(to: UInt8.self)) }
    blocks = mask.blocks.map { UnsafePointer($0.visible.storage.base.assumingMemoryBound(to: UInt8.self)) }
    self.alibiSlopes = alibiSlopes
    self.sinks = sinks
    self.rows = rows
  }

  /// The operands of a call, where its tensors are.
  init(_ call: AttentionCall, _ problem: AttentionProblem) {
    let size = problem.elementType.byteCount
    let own = (key: Self.bytes(call.key), value: Self.bytes(call.value))
    let past = call.past.map { (key: Self.bytes($0.key), value: Self.bytes($0.value)) } ?? own
    let rows = CPURows(
      storage: problem.elementType.cStorage ?? ATTENTION_FLOAT32, keyWidth: problem.headDimension,
      valueWidth: problem.valueDimension
    ) { batch, head, stretches in
      var first = 0
      for (key, value) in zip(problem.keyRuns(batch: batch, head: head), problem.valueRuns(batch: batch, head: head)) {
        let source = key.source == .past ? past : own
        stretches.append(
          attention_rows(
            key: source.key + key.offset * size, value: source.value + value.offset * size,
            key_stride: key.rowStride * size, value_stride: value.rowStride * size, first: Int32(first),
            count: Int32(key.rowCount)))
        first += key.rowCount
      }
    }
    self.init(
      query: call.query, mask: call.mask, alibiSlopes: call.alibiSlopes, sinks: call.sinks, rows: rows)
  }

  private static func bytes(_ tensor: Tensor) -> UnsafePointer<CChar> {
    UnsafePointer(tensor.storage.base.assumingMemoryBound(to: CChar.self))
  }
}

/// The rows of keys and values of a call's heads.
struct CPURows {
  let storage: attention_storage
  /// Elements of a stored row.
  let keyWidth, valueWidth: Int
  /// Appends the stretches of the rows of a batch entry's key/value head, from key 0 to its key length.
  let append: (_ batch: Int, _ head: Int, _ stretches: inout [attention_rows]) -> Void
}
