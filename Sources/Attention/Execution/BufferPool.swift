import OpenCL

/// Device buffers that are used again: making one costs a trip to the driver, and on some a clearing of its memory.
final class BufferPool {
  private let context: Context
  private var free: [Buffer] = []
  private(set) var allocatedBytes = 0
  private(set) var peakBytes = 0

  /// Buffers that no call uses are kept up to this size in all.
  private let keptBytes: Int

  init(_ context: Context) {
    self.context = context
    keptBytes = context.device.info.globalMemory / 4
  }

  /// Buffers of at least these sizes, or none of them; their contents are anything.
  func take(_ byteCounts: Int...) throws -> [Buffer] {
    var taken: [Buffer] = []
    do {
      for byteCount in byteCounts { taken.append(try take(byteCount)) }
    } catch {
      put(taken)
      throw error
    }
    return taken
  }

  private func take(_ byteCount: Int) throws -> Buffer {
    let wanted = max(byteCount, 1)
    let fitting = free.indices.filter { free[$0].byteCount >= wanted && free[$0].byteCount / 2 <= max(wanted, 4096) }
    if let best = fitting.min(by: { free[$0].byteCount < free[$1].byteCount }) { return free.remove(at: best) }
    do {
      return try allocate(wanted)
    } catch {
      guard error.isOutOfMemory, !free.isEmpty else { throw error }
      // What is kept for later may be what is missing now.
      dropFree()
      return try allocate(wanted)
    }
  }

  /// Gives buffers back; no command may still be using them.
  func put(_ buffers: [Buffer]) {
    free += buffers
    if free.reduce(0, { $0 + $1.byteCount }) > keptBytes { dropFree() }
  }

  /// Forgets the largest sum of buffers so far.
  func resetPeak() { peakBytes = allocatedBytes }

  /// Releases the buffers that nothing uses.
  func dropFree() {
    allocatedBytes -= free.reduce(0) { $0 + $1.byteCount }
    free = []
  }

  private func allocate(_ byteCount: Int) throws(OpenCLError) -> Buffer {
    let buffer = try Buffer(context, byteCount: byteCount)
    allocatedBytes += byteCount
    peakBytes = max(peakBytes, allocatedBytes)
    return buffer
  }
}
