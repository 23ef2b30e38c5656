import CAttention

extension HostBlocks {
  /// Attention by the engine's first device: the CPU backend's kernels read the rows where they lie, the reference copies.
  func attend(_ query: CacheQuery) throws -> CacheResult {
    // Arithmetic and results are float32, whatever the query's type.
    var problem = query.problem
    problem.elementType = .float32
    let queries = try rotated(query)
    let result =
      if let device = engine.roster.active.first, device.deviceClass == .native {
        try attend(query, queries, problem, on: device)
      } else {
        try attendToCopies(query, queries, problem)
      }
    guard let output = result.output, let logSumExp = result.logSumExp else {
      throw AttentionError.cannotRun(device: "cpu", reason: "the output was not computed")
    }
    let converted = try output.converted(to: query.problem.elementType)
    guard !query.onHost else { return .host(output: converted, logSumExp: logSumExp) }
    if let recording = query.recording {
      try recording.output.write(converted)
      try recording.logSumExp.write(logSumExp)
      return .device(output: recording.output, logSumExp: recording.logSumExp)
    }
    func onDevice(_ tensor: Tensor) -> DeviceTensor {
      DeviceTensor(shape: tensor.shape, elementType: tensor.elementType, memory: .host(tensor.storage))
    }
    return .device(output: onDevice(converted), logSumExp: onDevice(logSumExp))
  }

  /// The queries in float32, rotated to their positions.
  private func rotated(_ query: CacheQuery) throws -> Tensor {
    let asked = try query.query.tensor()
    guard let angles = query.angles else { return try asked.converted(to: .float32) }
    let problem = query.problem
    let result = try Tensor(asked.floats(), shape: asked.shape)
    let elements = result.mutableElements(of: Float.self)
    for b in 0..<problem.batch {
      for h in 0..<problem.queryHeads {
        for i in 0..<problem.queryLength {
          let start = problem.operands.query.offset(batch: b, head: h, row: i)
          let row = UnsafeMutableBufferPointer(rebasing: elements[start..<start + problem.headDimension])
          angles.rotate(row, b * problem.queryLength + i)
        }
      }
    }
    return result
  }

  // MARK: In place

  private func attend(
    _ query: CacheQuery, _ queries: Tensor, _ problem: AttentionProblem, on device: DeviceProfile
  ) throws -> AttentionResult {
    let parts = parts
    let stretches = query.sequences.map { self.stretches(of: $0, query.blocks, parts) }
    let (keyBytes, valueBytes) = (shape.key.byteCount, (shape.value ?? shape.key).byteCount)
    let rows = CPURows(
      storage: shape.key.storage.cStorage, keyWidth: shape.key.width, valueWidth: (shape.value ?? shape.key).width
    ) { batch, head, rows in
      for stretch in stretches[batch] {
        let part = parts[stretch.part]
        rows.append(
          attention_rows(
            key: UnsafePointer(part.keyRow(head, stretch.block, stretch.place).assumingMemoryBound(to: CChar.self)),
            value: UnsafePointer(part.valueRow(head, stretch.block, stretch.place).assumingMemoryBound(to: CChar.self)),
            key_stride: keyBytes, value_stride: valueBytes, first: Int32(stretch.keys.lowerBound),
            count: Int32(stretch.keys.count)))
      }
    }
    let results = try ResultBuffers(problem)
    let plan = try CPUPlan(problem, heads: 0..<problem.headCount, on: device)
    try withExtendedLifetime((parts, queries, query)) {
      let operands = CPUOperands(
        query: queries, mask: query.mask, alibiSlopes: query.alibiSlopes, sinks: query.sinks, rows: rows)
      try engine.cpu.run(operands, problem, plan, into: results)
    }
    return results.result
  }

  /// Keys whose rows follow one another in a part.
  private struct Stretch {
    var keys: Range<Int>
    let part: Int
    /// Where the first is.
    let block: Int
    let place: Int
  }

  private func stretches(of sequence: DecodeSequence, _ blocks: [Int], _ parts: [Part]) -> [Stretch] {
    var stretches: [Stretch] = []
    for segment in sequence.segments {
      var key = segment.keys.lowerBound
      while key < segment.keys.upperBound {
        let slot = segment.place + key - segment.keys.lowerBound
        let block = blocks[segment.entry + slot / shape.blockLength]
        let place = slot % shape.blockLength
        let end = min(key + shape.blockLength - place, segment.keys.upperBound)
        let part = Self.index(of: block, in: parts)
        if let last = stretches.last, last.part == part,
          (block - last.block) * shape.blockLength + place - last.place == last.keys.count
        {
          stretches[stretches.count - 1].keys = last.keys.lowerBound..<end
        } else {
          stretches.append(Stretch(keys: key..<end, part: part, block: block, place: place))
        }
        key = end
      }
    }
    return stretches
  }

  // MARK: Copies, for the reference

  private func attendToCopies(
    _ query: CacheQuery, _ queries: Tensor, _ problem: AttentionProblem
  ) throws -> AttentionResult {
    let (keys, values) = try copies(query)
    var call = AttentionCall(query: queries, key: keys, value: values, layout: problem.layout)
    call.mask = query.mask
    call.keyLengths = problem.sequences.map(\.keyLength)
    call.scale = problem.scale
    call.softcap = problem.softcap
    call.alibiSlopes = query.alibiSlopes
    call.sinks = query.sinks
    call.returning = [.output, .logSumExp]
    return try engine.attention(call)
  }

  /// The keys and values of every sequence in float32 and the query's layout, as long as the longest.
  private func copies(_ query: CacheQuery) throws -> (key: Tensor, value: Tensor) {
    let problem = query.problem
    let parts = parts
    func copy(
      _ width: Int, _ format: KVRowFormat, _ row: (Part, _ head: Int, _ block: Int, _ place: Int) -> UnsafeRawPointer
    ) throws -> Tensor {
      let layout = RowLayout(problem.layout, heads: shape.heads, rows: problem.keyLength, width: width)
      let tensor = try Tensor(
        zeros: problem.layout == .bhsd
          ? [problem.batch, shape.heads, problem.keyLength, width]
          : [problem.batch, problem.keyLength, shape.heads, width], elementType: .float32)
      let elements = tensor.mutableElements(of: Float.self)
      for (b, sequence) in query.sequences.enumerated() {
        for stretch in stretches(of: sequence, query.blocks, parts) {
          for (n, key) in stretch.keys.enumerated() {
            for head in 0..<shape.heads {
              let from = row(parts[stretch.part], head, stretch.block, stretch.place + n)
              let decoded = format.decode(UnsafeRawBufferPointer(start: from, count: format.byteCount))
              let start = layout.offset(batch: b, head: head, row: key)
              for d in 0..<width { elements[start + d] = decoded[d] }
            }
          }
        }
      }
      return tensor
    }
    return (
      try copy(shape.key.width, shape.key) { UnsafeRawPointer($0.keyRow($1, $2, $3)) },
      try copy(shape.valueDimension, shape.value ?? shape.key) { UnsafeRawPointer($0.valueRow($1, $2, $3)) }
    )
  }
}

extension KVCacheStorage {
  /// How the C kernels call it.
  fileprivate var cStorage: attention_storage {
    switch self {
    case .float32: ATTENTION_FLOAT32
    case .float16: ATTENTION_FLOAT16
    case .bfloat16: ATTENTION_BFLOAT16
    case .q8_0: ATTENTION_ROWS_Q8_0
    case .q4_0: ATTENTION_ROWS_Q4_0
    }
  }
}
