import OpenCL

/// The keys of some heads on their way out of a cache's blocks: those of a key/value head follow one another.
struct GatheredRows {
  /// Rows in all.
  private(set) var rows = 0
  private let query: CacheQuery
  private let store: DeviceBlocks
  private let parts: [DeviceBlocks.Part]
  private var last: (sequence: Int, head: Int, first: Int)?
  /// Of each part.
  private var stretches: [[StretchRecord]]

  init(_ query: CacheQuery, _ store: DeviceBlocks) {
    self.query = query
    self.store = store
    parts = store.parts
    stretches = parts.map { _ in [] }
  }

  /// The first row of a key/value head, which joins the others where it is not the last one.
  mutating func add(sequence b: Int, _ keyLength: Int, head g: Int) -> Int {
    if let last, last.sequence == b, last.head == g { return last.first }
    let first = rows
    let sequence = query.sequences[b]
    // All keys, or those that some query sees.
    let keys = keyLength == sequence.keyLength ? 0..<keyLength : sequence.visible
    for segment in sequence.segments {
      let wanted = segment.keys.clamped(to: keys)
      var key = wanted.lowerBound
      while key < wanted.upperBound {
        let slot = segment.place + key - segment.keys.lowerBound
        let block = query.blocks[segment.entry + slot / store.shape.blockLength]
        let place = slot % store.shape.blockLength
        let count = min(store.shape.blockLength - place, wanted.upperBound - key)
        let part = DeviceBlocks.index(of: block, in: parts)
        stretches[part].append(
          StretchRecord(
            from: Int64(store.row(of: block, in: parts[part]) + g * store.shape.blockLength + place), to: Int64(rows),
            count: Int32(count)))
        rows += count
        key += count
      }
    }
    last = (b, g, first)
    return first
  }

  /// Starts to bring the rows to where they follow one another.
  func enqueue(_ type: ElementType, keys: Buffer, _ keyWidth: Int, values: Buffer, _ valueWidth: Int) throws {
    let executor = store.executor
    let kernel = try executor.gatherKernel(
      GatherProgram.Key(elementType: type, storage: store.shape.key.storage.rows))
    // A row's elements side by side on a GPU; on a processor a loop.
    let items = store.profile.deviceClass == .gpu ? min(64, store.profile.maxWorkGroupSize) : 1
    for (part, own) in zip(parts, stretches) where !own.isEmpty {
      let records = try executor.buffer(copying: own)
      for (rows, target, width, stored) in [
        (part.key, keys, keyWidth, store.shape.key.width),
        (part.value, values, valueWidth, (store.shape.value ?? store.shape.key).width),
      ] {
        var arguments = ArgumentList(kernel)
        try arguments.add(records, rows, target)
        try arguments.add(Int32(store.shape.blockLength), Int32(width), Int32(stored))
        try executor.queue.enqueue(kernel, groups: [own.count, store.shape.blockLength], items: items)
      }
    }
  }
}
