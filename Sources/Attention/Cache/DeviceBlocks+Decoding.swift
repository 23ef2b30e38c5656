import OpenCL

extension DeviceBlocks {
  /// Attention of few queries: pieces of keys side by side, and their merging.
  func enqueueDecoding(_ query: CacheQuery, _ output: Buffer, _ logSumExp: Buffer) throws {
    let problem = query.problem
    let operand = try executor.upload(query.query)
    let kernels =
      try query.recording?.kernels
      ?? kernels(problem, rotaryPairs: query.angles?.embedding.pairs ?? 0, own: query.recording != nil)
    query.recording?.kernels = kernels
    let parts = parts
    let table = entries(of: query.blocks)
    let work = executor.decodeWork(
      DecodeWorkRequest(
        problem, query.sequences, table: table, blockRows: shape.blockLength, rowsOfPiece: kernels.rowsOfPiece,
        on: profile))
    let masks = try CacheMasks(query, executor)
    let heads = records(query, masks)
    let tables = DecodeTables(heads: heads.count, table: table.count, work)
    let records = try executor.upload(byteCount: tables.byteCount) { tables.write(heads, table, work, to: $0) }
    let scratch = try executor.decodeScratch(
      partial: work.partialRows * problem.valueDimension * 4, ends: work.partialRows * 8)
    let rotary = try query.angles.map { try executor.upload($0.values) }
    let shape = DecodeShape(
      queryHeads: problem.queryHeads, group: problem.groupSize, queries: 0..<problem.queryLength,
      blockRows: shape.blockLength, rowStep: 1, queryStride: problem.operands.query.rowStride,
      outputStride: problem.operands.output.rowStride, usesSinks: problem.usesSinks,
      rotaryPairs: query.angles?.embedding.pairs ?? 0, interleaved: query.angles?.embedding.style == .interleaved,
      scale: problem.scale, softcap: problem.softcap, mask: problem.mask, blockMask: problem.blockMask)
    let arguments = DecodeRecording.Arguments(
      shape: shape, tables: tables, mostRows: work.mostRows, parts: parts.count,
      scratch: [ObjectIdentifier(scratch.partial), ObjectIdentifier(scratch.ends)])
    if let recording = query.recording, recording.arguments == arguments {
      try kernels.replace(tables: records, tables, rotary: rotary)
    } else {
      try kernels.setArguments(
        shape,
        DecodeBuffers(
          keys: parts.map(\.key), values: parts.map(\.value), query: operand, output: output, logSumExp: logSumExp,
          rotary: rotary ?? operand,
          mask: masks.mask ?? operand, blockMask: masks.blocks ?? operand, partial: scratch.partial,
          ends: scratch.ends),
        tables: records, tables, mostRows: work.mostRows)
      query.recording?.arguments = arguments
    }
    _ = try kernels.enqueue(executor.queue, shape, tables)
    try executor.queue.flush()
  }

  /// The kernels of the best tiles that the device takes.
  ///
  /// - Parameter own: Whether nobody else may have them, so that their arguments stay.
  private func kernels(_ problem: AttentionProblem, rotaryPairs: Int, own: Bool) throws -> DecodeKernels {
    let none = AttentionError.cannotRun(
      device: profile.identifier, reason: "no tile of the decode kernels fits it")
    return try TilesRejected.firstAccepted(of: DecodeTiles.fitting(problem, profile), otherwise: none) { tiles in
      let key = DecodeKernels.Key(
        problem, cache: shape.key.storage, storedValues: shape.value?.width ?? shape.key.width,
        rotaryPairs: rotaryPairs, tiles)
      return try executor.rejecting(.decode(tiles)) {
        try own ? DecodeKernels(key, executor.context) : executor.decodeKernels(key)
      }
    }
  }

  private func records(_ query: CacheQuery, _ masks: CacheMasks) -> [HeadRecord] {
    let problem = query.problem
    return (0..<problem.headCount).map { head in
      let (b, h) = (head / problem.queryHeads, head % problem.queryHeads)
      var record = HeadRecord(problem, batch: b, head: h, alibiSlopes: query.alibiSlopes, sinks: query.sinks)
      record.query = Int64(problem.operands.query.offset(batch: b, head: h, row: 0))
      record.output = Int64(problem.operands.output.offset(batch: b, head: h, row: 0))
      record.key = Int64(h / problem.groupSize * shape.blockLength)
      record.value = record.key
      record.logSumExp = Int64(problem.logSumExpOffset(batch: b, head: h))
      record.mask = Int64(problem.mask?.offset(batch: b, head: h) ?? 0)
      record.blockMask = Int64(masks.blockOffset(batch: b, head: h))
      record.rotary = Int32(b * problem.queryLength)
      return record
    }
  }
}

/// The masks of a call on the device.
private struct CacheMasks {
  private(set) var mask: Buffer?
  private(set) var blocks: Buffer?
  private var offsets: [Int] = []
  private let heads: Int

  init(_ query: CacheQuery, _ executor: OpenCLExecutor) throws {
    let problem = query.problem
    heads = problem.queryHeads
    if let tensor = query.mask.tensor {
      // Whole vectors of keys are read, past the last element too.
      let storage = try TensorStorage(byteCount: tensor.byteCount + MaskRows.slackBytes)
      tensor.withUnsafeBytes { storage.bytes.copyMemory(from: $0) }
      mask = try Buffer(executor.context, copying: UnsafeRawBufferPointer(storage.bytes))
    }
    if var planes = BlockMaskPlanes(query.mask.blocks, problem.blockMask) {
      offsets = (0..<problem.headCount).map { planes.offset(batch: $0 / heads, head: $0 % heads) }
      blocks = try planes.byteCount > 0 ? executor.buffer(copying: planes.elements()) : nil
    }
  }

  func blockOffset(batch b: Int, head h: Int) -> Int { offsets.isEmpty ? 0 : offsets[b * heads + h] }
}
