import OpenCL

/// Rows of tensors on the host that stand one after the other, without gaps, in a buffer on the device.
///
/// Whatever the layout (heads interleaved, pages, past keys before the call's own), kernels see dense rows: where the
/// rows already are dense on the host they go straight over, otherwise through an array that gathers them.
struct RowTransfer {
  private struct Run {
    let tensor: Tensor
    /// All in bytes.
    var offset: Int
    let pitch: Int
    let width: Int
    var rows: Int

    var byteCount: Int { rows * width }
    var isDense: Bool { rows <= 1 || pitch == width }
  }

  /// Past this many separate pieces one gathered transfer is cheaper than a transfer each.
  private static let directPieces = 8

  private var runs: [Run] = []
  private(set) var byteCount = 0

  /// Appends rows of `width` elements. Rows that follow the last ones in memory join them.
  mutating func append(_ run: RowRun, width: Int, of tensor: Tensor) {
    let size = tensor.elementType.byteCount
    let next = Run(
      tensor: tensor, offset: run.offset * size, pitch: run.rowStride * size, width: width * size, rows: run.rowCount)
    guard next.rows > 0, next.width > 0 else { return }
    byteCount += next.byteCount
    if let last = runs.last, last.tensor.storage === tensor.storage, last.isDense, next.isDense,
      last.width == next.width, last.offset + last.byteCount == next.offset
    {
      runs[runs.count - 1] = Run(
        tensor: tensor, offset: last.offset, pitch: last.width, width: last.width, rows: last.rows + next.rows)
    } else {
      runs.append(next)
    }
  }

  private var goesDirectly: Bool { runs.count <= Self.directPieces && runs.allSatisfy(\.isDense) }

  /// Starts the transfer to the device. The storage returned, if any, must live until it is done.
  func enqueueWrite(_ queue: CommandQueue, to buffer: Buffer) throws -> TensorStorage? {
    guard !goesDirectly else {
      var at = 0
      for run in runs {
        let bytes = UnsafeRawBufferPointer(start: run.tensor.storage.base + run.offset, count: run.byteCount)
        try queue.enqueueWrite(bytes, to: buffer, at: at, blocking: false)
        at += run.byteCount
      }
      return nil
    }
    let staging = try TensorStorage(byteCount: byteCount)
    copy { host, dense, count in (staging.base + dense).copyMemory(from: host, byteCount: count) }
    let bytes = UnsafeRawBufferPointer(start: staging.base, count: byteCount)
    try queue.enqueueWrite(bytes, to: buffer, blocking: false)
    return staging
  }

  /// Starts the transfer from the device. Where a storage is returned it holds the rows gathered: when the transfer is
  /// done, ``scatter(_:)`` brings them to their places.
  func enqueueRead(_ queue: CommandQueue, from buffer: Buffer, waitingFor events: [Event]) throws -> TensorStorage? {
    guard !goesDirectly else {
      var at = 0
      for run in runs {
        let bytes = UnsafeMutableRawBufferPointer(start: run.tensor.storage.base + run.offset, count: run.byteCount)
        try queue.enqueueRead(buffer, at: at, into: bytes, blocking: false, waitingFor: events)
        at += run.byteCount
      }
      return nil
    }
    let staging = try TensorStorage(byteCount: byteCount)
    let bytes = UnsafeMutableRawBufferPointer(start: staging.base, count: byteCount)
    try queue.enqueueRead(buffer, into: bytes, blocking: false, waitingFor: events)
    return staging
  }

  func scatter(_ staging: TensorStorage) {
    copy { host, dense, count in host.copyMemory(from: staging.base + dense, byteCount: count) }
  }

  private func copy(_ move: (_ host: UnsafeMutableRawPointer, _ dense: Int, _ count: Int) -> Void) {
    var at = 0
    for run in runs {
      let step = run.isDense ? run.byteCount : run.width
      for start in stride(from: 0, to: run.byteCount, by: step) {
        move(run.tensor.storage.base + run.offset + start / run.width * run.pitch, at + start, step)
      }
      at += run.byteCount
    }
  }
}
