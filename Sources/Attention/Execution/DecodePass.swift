import OpenCL

/// The decode kernels at work on one call.
final class DecodeCall: CallKernels {
  let scratch: [Buffer]
  let readsHeads = false
  fileprivate let kernels: DecodeKernels
  fileprivate let mask: MaskRows
  fileprivate let keysInPlace: Bool
  fileprivate let split: DecodeSplit

  fileprivate var partial: Buffer { scratch[1] }
  fileprivate var ends: Buffer { scratch[2] }

  init(_ kernels: DecodeKernels, _ problem: AttentionProblem, _ plan: DevicePlan, pool: BufferPool) throws {
    self.kernels = kernels
    keysInPlace = plan.keysInPlace
    let split = plan.split
    self.split = split
    let rows = plan.blocks.map { block in
      let pieces = block.heads.map { head in
        split.pieces(keyLength: problem.sequences[head / problem.queryHeads].keyLength)
      }
      return pieces.reduce(0, +) * block.sliceRows
    }
    let most = rows.max() ?? 0
    scratch = try pool.take(MaskRows.byteCount(problem, plan), most * problem.valueDimension * 4, most * 8)
    mask = MaskRows(scratch[0])
  }

  func makePass(_ contents: BlockContents) throws -> any BlockPass { try DecodePass(contents, self) }
}

/// The decode kernels of one block, for each slice of its queries: pieces → merged rows.
private struct DecodePass: BlockPass {
  private let contents: BlockContents
  private let shared: DecodeCall
  private let slices: [Slice]

  private struct Slice {
    let queries: Range<Int>
    let tables: DecodeTables
    let mostRows: Int
    let buffer: Buffer
  }

  init(_ contents: BlockContents, _ shared: DecodeCall) throws {
    self.contents = contents
    self.shared = shared
    let layout = DecodeLayout(contents, inPlace: shared.keysInPlace)
    slices = try contents.block.slices.map { queries in
      let work = layout.work(queries, shared)
      let tables = DecodeTables(heads: layout.heads.count, table: layout.table.count, work)
      let bytes = try TensorStorage(byteCount: tables.byteCount)
      tables.write(layout.heads, layout.table, work, to: bytes.bytes)
      let buffer = try Buffer(contents.queues.upload.context, copying: UnsafeRawBufferPointer(bytes.bytes))
      return Slice(queries: queries, tables: tables, mostRows: work.mostRows, buffer: buffer)
    }
  }

  func enqueue(after uploaded: Event?, _ results: ResultBuffers) throws -> Event? {
    let problem = contents.problem
    var last: Event?
    for slice in slices {
      _ = try shared.mask.enqueueWrite(slice.queries, of: contents)
      let operands = contents.buffers
      let shape = DecodeShape(
        queryHeads: problem.queryHeads, group: problem.groupSize, queries: slice.queries,
        blockRows: DecodeLayout.blockRows(problem, inPlace: shared.keysInPlace),
        rowStep: DecodeLayout.rowStep(problem, inPlace: shared.keysInPlace), queryStride: problem.headDimension,
        outputStride: problem.valueDimension, usesSinks: problem.usesSinks, scale: problem.scale,
        softcap: problem.softcap, mask: problem.mask, blockMask: problem.blockMask)
      last = try shared.kernels.enqueue(
        contents.queues.compute, shape,
        DecodeBuffers(
          keys: [operands.key], values: [operands.value], query: operands.query, output: operands.output,
          logSumExp: operands.logSumExp, rotary: operands.query, mask: shared.mask.buffer,
          blockMask: operands.blockMask, partial: shared.partial, ends: shared.ends),
        tables: slice.buffer, slice.tables, mostRows: slice.mostRows, waitingFor: [uploaded].compactMap { $0 })
    }
    return last
  }
}

/// Where a block's keys and values are, counted in rows.
private struct DecodeLayout {
  /// One a head, with row numbers for keys and values.
  private(set) var heads: [HeadRecord]
  private(set) var table: [Int64] = []
  private let problem: AttentionProblem
  private let block: DevicePlan.Block
  private var sequences: [(head: Int, heads: Int, segments: [KeySegment], sequence: AttentionSequence)] = []
  private let blockRows: Int

  /// Rows of a block of keys; an array is one block.
  static func blockRows(_ problem: AttentionProblem, inPlace: Bool) -> Int {
    inPlace ? problem.operands.paging?.blockSize ?? AttentionSequence.unlimited : AttentionSequence.unlimited
  }

  /// Rows from one key of a head to the next.
  static func rowStep(_ problem: AttentionProblem, inPlace: Bool) -> Int {
    inPlace ? problem.operands.key.rowStride / problem.headDimension : 1
  }

  init(_ contents: BlockContents, inPlace: Bool) {
    problem = contents.problem
    block = contents.block
    heads = contents.records
    blockRows = Self.blockRows(problem, inPlace: inPlace)
    let (D, Dv) = (problem.headDimension, problem.valueDimension)
    let (key, value) = (problem.operands.key, problem.operands.value)
    // Heads of one key/value head follow one another; a block may begin or end within them.
    var first = 0
    while first < heads.count {
      let head = block.heads.lowerBound + first
      let (b, g) = (head / problem.queryHeads, head % problem.queryHeads / problem.groupSize)
      let end = min(heads.count, (head / problem.groupSize + 1) * problem.groupSize - block.heads.lowerBound)
      let sequence = problem.sequences[b]
      var segments: [KeySegment] = []
      if sequence.keyLength > 0 { segments = [KeySegment(keys: 0..<sequence.keyLength, entry: table.count, place: 0)] }
      for index in first..<end {
        if inPlace {
          heads[index].key = Int64((key.base + g * key.headStride) / D)
          heads[index].value = Int64((value.base + g * value.headStride) / Dv)
        } else {
          heads[index].key /= Int64(D)
          heads[index].value /= Int64(Dv)
        }
      }
      if !inPlace {
        table.append(0)
      } else if let paging = problem.operands.paging {
        let blocks = sequence.keyLength.tiles(of: paging.blockSize)
        table += (0..<blocks).map { entry in
          Int64(paging.table[b * paging.blocksPerSequence + entry] * (key.batchStride / D))
        }
      } else {
        table.append(Int64((b * key.batchStride + sequence.keyStart * key.rowStride) / D))
      }
      sequences.append((first, end - first, segments, sequence))
      first = end
    }
  }

  /// The work of some queries of every head.
  func work(_ queries: Range<Int>, _ shared: DecodeCall) -> DecodeWork {
    var work = DecodeWork()
    for entry in sequences {
      let own = queries.clamped(to: 0..<entry.sequence.queryLength)
      let sequence = DecodeSequence(
        segments: entry.segments, visible: own.isEmpty ? 0..<0 : entry.sequence.visibleKeys(queries: own),
        keyLength: entry.sequence.keyLength)
      work.add(
        DecodeCuts([sequence], table: table, blockRows: blockRows, shared.split), head: entry.head,
        heads: entry.heads, queries: queries.count, rowsOfPiece: shared.kernels.rowsOfPiece)
    }
    return work
  }
}
