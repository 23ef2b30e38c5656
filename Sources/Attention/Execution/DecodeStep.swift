import OpenCL

/// What the decode kernels need to know of a call beside its operands and work.
struct DecodeShape: Equatable {
  var queryHeads: Int
  var group: Int
  /// The first query, and how many of each head.
  var queries: Range<Int>
  /// Rows of a block of keys, from one key of a head to the next.
  var blockRows: Int
  var rowStep: Int
  /// Elements from one query, and one row of the output, of a head to the next.
  var queryStride: Int
  var outputStride: Int
  var usesSinks = false
  var rotaryPairs = 0
  var interleaved = false
  var scale: Float
  var softcap: Float?
  var mask: MaskLayout?
  var blockMask: BlockMaskLayout?
}

/// The operands, results and scratch memory of a decode step on the device.
struct DecodeBuffers {
  /// Keys and values; `key_value_rows.cl` knows at most ``sources`` of each. A cache that is empty has none.
  var keys: [Buffer]
  var values: [Buffer]
  var query: Buffer
  var output: Buffer
  var logSumExp: Buffer
  /// Where there is none, any buffer.
  var rotary: Buffer
  var mask: Buffer
  var blockMask: Buffer
  /// Partial outputs, and their maxima and sums.
  var partial: Buffer
  var ends: Buffer

  static let sources = 16
}

/// Where the tables of a step begin in its buffer, in bytes; the heads begin it.
struct DecodeTables: Equatable {
  let pieces, table, merges, parts, byteCount: Int
  let pieceCount, mergeCount: Int

  init(heads: Int, table entries: Int, _ work: DecodeWork) {
    func end(_ start: Int, _ count: Int, _ stride: Int) -> Int { roundedUp(start + count * stride, to: 16) }
    pieces = end(0, heads, MemoryLayout<HeadRecord>.stride)
    table = end(pieces, work.pieces.count, MemoryLayout<PieceRecord>.stride)
    merges = end(table, entries, MemoryLayout<Int64>.stride)
    parts = end(merges, work.merges.count, MemoryLayout<MergeRecord>.stride)
    byteCount = end(parts, work.parts.count, MemoryLayout<Int32>.stride)
    pieceCount = work.pieces.count
    mergeCount = work.merges.count
  }

  /// Writes the tables to memory of their size.
  func write(_ heads: [HeadRecord], _ entries: [Int64], _ work: DecodeWork, to bytes: UnsafeMutableRawBufferPointer) {
    func copy<Record: BitwiseCopyable>(_ records: [Record], at start: Int) {
      records.withUnsafeBytes { source in
        UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + source.count]).copyMemory(from: source)
      }
    }
    copy(heads, at: 0)
    copy(work.pieces, at: pieces)
    copy(entries, at: table)
    copy(work.merges, at: merges)
    copy(work.parts, at: parts)
  }
}

extension DecodeKernels {
  /// Starts the pieces, and what merges them.
  func enqueue(
    _ queue: CommandQueue, _ shape: DecodeShape, _ buffers: DecodeBuffers, tables buffer: Buffer,
    _ tables: DecodeTables,
    mostRows: Int, waitingFor events: [Event] = []
  ) throws -> Event {
    try setArguments(shape, buffers, tables: buffer, tables, mostRows: mostRows)
    return try enqueue(queue, shape, tables, waitingFor: events)
  }

  /// Starts them again, with the arguments that were set last.
  func enqueue(
    _ queue: CommandQueue, _ shape: DecodeShape, _ tables: DecodeTables, waitingFor events: [Event] = []
  ) throws -> Event {
    let pieces = try queue.enqueue(decode, groups: [tables.pieceCount], items: key.tiles.items, waitingFor: events)
    guard tables.mergeCount > 0 else { return pieces }
    return try queue.enqueue(merge, groups: [tables.mergeCount, shape.queries.count], items: mergeItems)
  }

  /// Sets what changes from one step to the next of the same shape.
  func replace(tables buffer: Buffer, _ tables: DecodeTables, rotary: Buffer?) throws {
    try decode.setArgument(0, buffer)
    if let rotary { try decode.setArgument(2 + 2 * DecodeBuffers.sources, rotary) }
    if tables.mergeCount > 0 { try merge.setArgument(0, buffer) }
  }

  func setArguments(
    _ shape: DecodeShape, _ buffers: DecodeBuffers, tables buffer: Buffer, _ tables: DecodeTables, mostRows: Int
  ) throws {
    var arguments = ArgumentList(decode)
    try arguments.add(buffer, buffers.query)
    try arguments.add(buffers.keys, of: DecodeBuffers.sources)
    try arguments.add(buffers.values, of: DecodeBuffers.sources)
    try arguments.add(buffers.rotary, buffers.mask, buffers.blockMask, buffers.output, buffers.logSumExp)
    try arguments.add(buffers.partial, buffers.ends)
    if key.tiles.isCPU {
      let rows = roundedUp(mostRows, to: key.tiles.rows)
      try arguments.addLocal(
        byteCount: key.tiles.localBytes(rows: rows, key.headDimension, key.valueDimension))
      try arguments.add(Int32(rows))
    }
    try arguments.add(Int32(tables.pieces), Int32(tables.table))
    try arguments.add(Int32(shape.queryHeads), Int32(shape.group))
    try arguments.add(Int32(shape.queries.lowerBound), Int32(shape.queries.count))
    try arguments.add(Int32(shape.blockRows), Int32(shape.rowStep))
    try arguments.add(Int64(shape.queryStride), Int64(shape.outputStride))
    try arguments.add(shape.usesSinks, Int32(shape.rotaryPairs), shape.interleaved)
    try arguments.add(shape.scale, shape.softcap ?? 0)
    try arguments.add(shape.mask)
    try arguments.add(shape.blockMask)
    guard tables.mergeCount > 0 else { return }
    arguments = ArgumentList(merge)
    try arguments.add(buffer, buffers.partial, buffers.ends, buffers.output, buffers.logSumExp)
    try arguments.add(Int32(tables.merges), Int32(tables.parts), Int32(key.valueDimension))
    try arguments.add(Int32(shape.queries.lowerBound), Int32(shape.queries.count))
    try arguments.add(Int64(shape.outputStride))
    try arguments.add(shape.usesSinks)
  }
}
