import OpenCL

/// Small tables on their way to a device, in memory that is used again: a new buffer costs the host more than its contents do
/// (on an H100 some 8 µs, and writing to one that is there 3).
///
/// ```
/// host memory    │ 0 │ 1 │ 2 │ …          each written once what it held before has gone over
///                  ↓   ↓   ↓
/// device buffers │ 0 │ 1 │ 2 │ …          each overwritten in the queue's order, after the commands that read it
/// ```
package final class UploadRing {
  private struct Slot {
    let host: TensorStorage
    let device: Buffer
    let written: Event
  }

  private let queue: CommandQueue
  private let isGPU: Bool
  private var slots: [Slot] = []
  private var next = 0

  /// Tables that may be under way at a time.
  private static let slotCount = 32
  /// Larger ones get a buffer of their own.
  private static let mostBytes = 1 << 18

  /// - Parameters:
  ///   - queue: Where the tables are sent, and in whose order what reads them runs.
  ///   - isGPU: To processors nothing has to be sent: a new buffer takes less than a command more.
  package init(_ queue: CommandQueue, isGPU: Bool) {
    self.queue = queue
    self.isGPU = isGPU
  }

  /// A buffer with these bytes, for commands that are given to the queue next: that many tables on, it is another's.
  package func upload(_ bytes: UnsafeRawBufferPointer) throws -> Buffer {
    guard isKept(bytes.count) else { return try Buffer(queue.context, copying: bytes, access: .readWrite) }
    return try upload(byteCount: bytes.count) { $0.copyMemory(from: bytes) }
  }

  private func isKept(_ byteCount: Int) -> Bool { isGPU && byteCount <= Self.mostBytes }

  /// The same of bytes that `fill` writes.
  package func upload(byteCount: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) throws -> Buffer {
    guard isKept(byteCount) else {
      let host = try TensorStorage(byteCount: byteCount, zeroed: false)
      fill(host.bytes)
      return try Buffer(queue.context, copying: UnsafeRawBufferPointer(start: host.base, count: byteCount))
    }
    let slot = slots.count == Self.slotCount ? slots[next] : nil
    // (What failed is told where it matters; the memory is free either way.)
    try? slot?.written.wait()
    let kept = slot.flatMap { $0.device.byteCount < byteCount ? nil : $0 }
    // Twice as much, so that a growing table seldom needs more.
    let host = try kept?.host ?? TensorStorage(byteCount: 2 * byteCount + 64, zeroed: false)
    let device = try kept?.device ?? Buffer(queue.context, byteCount: 2 * byteCount + 64)
    let bytes = UnsafeMutableRawBufferPointer(rebasing: host.bytes[..<byteCount])
    fill(bytes)
    let written = try queue.enqueueWrite(UnsafeRawBufferPointer(bytes), to: device, blocking: false)
    let used = Slot(host: host, device: device, written: written)
    if slot == nil { slots.append(used) } else { slots[next] = used }
    next = (next + 1) % Self.slotCount
    return device
  }
}
