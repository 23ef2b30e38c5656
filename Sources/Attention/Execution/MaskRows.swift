import OpenCL

/// The rows of the mask that a slice of queries needs, on the device: one plane after the other, one slice at a time.
final class MaskRows {
  let buffer: Buffer
  private var present: (block: Range<Int>, slice: Range<Int>)?

  /// Elements past the last that a kernel may read: it reads whole vectors of keys.
  static let slackBytes = 16 * 4

  /// The bytes of the buffer for a plan's largest slice.
  static func byteCount(_ problem: AttentionProblem, _ plan: DevicePlan) -> Int {
    guard let mask = problem.mask else { return 0 }
    let largest = plan.blocks.map { block in
      let planes = Set(block.heads.map { mask.offset(batch: $0 / problem.queryHeads, head: $0 % problem.queryHeads) })
      return planes.count * mask.planeElements(rows: block.sliceRows, keys: problem.keyLength)
    }
    return (largest.max() ?? 0) * mask.elementType.byteCount + slackBytes
  }

  init(_ buffer: Buffer) { self.buffer = buffer }

  /// Brings the rows of a slice over on the compute queue, whose order keeps them from being overwritten early.
  ///
  /// - Returns: Whether they were not there already.
  func enqueueWrite(_ slice: Range<Int>, of contents: BlockContents) throws -> Bool {
    guard let layout = contents.problem.mask, let tensor = contents.mask else { return false }
    if let present, present == (contents.block.heads, slice) { return false }
    let size = layout.elementType.byteCount
    let planeBytes = layout.planeElements(rows: contents.block.sliceRows, keys: contents.problem.keyLength) * size
    let usedBytes = layout.planeElements(rows: slice.count, keys: contents.problem.keyLength) * size
    for (plane, start) in contents.maskPlanes.enumerated() {
      let first = (start + slice.lowerBound * layout.queryStride) * size
      let bytes = UnsafeRawBufferPointer(start: tensor.storage.base + first, count: usedBytes)
      try contents.queues.compute.enqueueWrite(bytes, to: buffer, at: plane * planeBytes, blocking: false)
    }
    present = (contents.block.heads, slice)
    return true
  }
}
