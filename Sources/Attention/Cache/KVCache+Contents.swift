extension KVCache {
  /// The bytes of a sequence's rows, head by head, and the sinks' keys that it moves: what is needed to make it anew.
  package func contents(of b: Int) throws -> Contents {
    try check(sequence: b)
    let (sequence, shape) = (sequences[b], pool.store.shape)
    var contents = Contents(
      length: sequence.length, forgotten: sequence.forgotten, sinkKeys: sequence.sinkKeys,
      key: [UInt8](repeating: 0, count: sequence.length * heads * shape.key.byteCount),
      value: [UInt8](repeating: 0, count: sequence.length * heads * (shape.value?.byteCount ?? 0)))
    var block: (index: Int, bytes: [UInt8]) = (-1, [])
    for j in 0..<sequence.length {
      let slot = sequence.slot(j, sinks: sinks)
      let index = sequence.blocks[slot / options.blockLength]
      if index != block.index { block = (index, try pool.store.read(block: index)) }
      for h in 0..<heads {
        shape.forEachPart { part, start, bytes in
          let from = start + (h * options.blockLength + slot % options.blockLength) * bytes
          let to = (h * sequence.length + j) * bytes
          contents[keyPath: part].replaceSubrange(to..<to + bytes, with: block.bytes[from..<from + bytes])
        }
      }
    }
    return contents
  }

  /// Puts a sequence's contents in the place of what it holds; they are of a cache of the same options.
  package func restore(_ contents: Contents, to b: Int) throws {
    try check(sequence: b)
    let (length, shape) = (options.blockLength, pool.store.shape)
    let lengths = 0..<AttentionSequence.unlimited
    guard lengths.contains(contents.length), lengths.contains(contents.forgotten),
      lengths.contains(contents.length + contents.forgotten)
    else {
      throw AttentionError.invalid(
        argument: "cache", found: "\(contents.length) keys after \(contents.forgotten) that are forgotten",
        expected: "lengths of 0 or more, less than \(AttentionSequence.unlimited) together")
    }
    let (rows, overflow) = contents.length.multipliedReportingOverflow(by: heads)
    guard !overflow, contents.key.count == rows * shape.key.byteCount,
      contents.value.count == rows * (shape.value?.byteCount ?? 0),
      contents.sinkKeys.allSatisfy({ $0.count == heads * headDimension }), contents.sinkKeys.count <= sinks
    else {
      throw AttentionError.invalid(
        argument: "cache", found: "\(contents.key.count) and \(contents.value.count) bytes for \(contents.length) keys",
        expected: "\(shape.key.byteCount) and \(shape.value?.byteCount ?? 0) bytes a row of \(heads) heads")
    }
    let blocks = try pool.take(contents.length.tiles(of: length))
    do {
      for (n, block) in blocks.enumerated() {
        var bytes = [UInt8](repeating: 0, count: shape.keyBytes + shape.valueBytes)
        for j in n * length..<min(contents.length, (n + 1) * length) {
          for h in 0..<heads {
            shape.forEachPart { part, start, size in
              let from = (h * contents.length + j) * size
              let to = start + (h * length + j % length) * size
              bytes.replaceSubrange(to..<to + size, with: contents[keyPath: part][from..<from + size])
            }
          }
        }
        try pool.store.write(block: block, bytes)
      }
    } catch {
      pool.release(blocks)
      throw error
    }
    pool.release(sequences[b].blocks)
    sequences[b] = Sequence(
      blocks: blocks, length: contents.length, hole: 0, forgotten: contents.forgotten, sinkKeys: contents.sinkKeys)
  }

  /// What a sequence holds, in the cache's storage.
  package struct Contents: Sendable, Equatable {
    package var length: Int
    package var forgotten: Int
    package var sinkKeys: [[Float]]
    /// `[heads][length]` rows.
    package var key: [UInt8]
    package var value: [UInt8]

    package init(length: Int, forgotten: Int, sinkKeys: [[Float]], key: [UInt8], value: [UInt8]) {
      self.length = length
      self.forgotten = forgotten
      self.sinkKeys = sinkKeys
      self.key = key
      self.value = value
    }
  }
}
