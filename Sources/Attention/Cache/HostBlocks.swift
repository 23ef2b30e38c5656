import Synchronization

/// The blocks of a cache in the host's memory, for engines that compute on the CPU. Attention is the engine's own, over
/// float32 copies of the rows that a sequence has.
final class HostBlocks: KVBlockStore {
  let shape: KVBlockShape
  private let engine: AttentionEngine
  private let blocks = Mutex<[[UInt8]]>([])

  init(_ shape: KVBlockShape, _ engine: AttentionEngine) {
    self.shape = shape
    self.engine = engine
  }

  private var blockBytes: Int { shape.keyBytes + shape.valueBytes }

  var allocatedBytes: Int { blocks.withLock { $0.count } * blockBytes }

  func grow(by wanted: Int, atMost most: Int) throws -> Int {
    blocks.withLock { $0 += Array(repeating: [UInt8](repeating: 0, count: blockBytes), count: wanted) }
    return wanted
  }

  func append(
    _ tokens: [KVToken], key: KVRows, value: KVRows?, headStrides: (key: Int, value: Int), angles: RotaryAngles?
  ) throws {
    let (key, value) = (try key.tensor().floats(), try value?.tensor().floats())
    blocks.withLock { blocks in
      for (n, token) in tokens.enumerated() {
        for head in 0..<shape.heads {
          let start = token.key + head * headStrides.key
          var row = Array(key[start..<start + shape.key.width])
          if let angles {
            let pairs = angles.embedding.pairs
            let first = n * 2 * pairs
            row = angles.embedding.rotate(
              row, cosines: angles.values[first..<first + pairs],
              sines: angles.values[first + pairs..<first + 2 * pairs])
          }
          encode(row, shape.key, at: rowStart(head, token.place, shape.key), in: &blocks[token.block])
          if let value, let format = shape.value {
            let start = token.value + head * headStrides.value
            encode(
              Array(value[start..<start + format.width]), format,
              at: shape.keyBytes + rowStart(head, token.place, format), in: &blocks[token.block])
          }
        }
      }
    }
  }

  private func rowStart(_ head: Int, _ place: Int, _ format: KVRowFormat) -> Int {
    (head * shape.blockLength + place) * format.byteCount
  }

  private func encode(_ row: [Float], _ format: KVRowFormat, at start: Int, in block: inout [UInt8]) {
    block.withUnsafeMutableBytes { bytes in
      format.encode(row, to: UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + format.byteCount]))
    }
  }

  func copy(block: Int, to target: Int) throws { blocks.withLock { $0[target] = $0[block] } }
  func read(block: Int) throws -> [UInt8] { blocks.withLock { $0[block] } }
  func write(block: Int, _ bytes: [UInt8]) throws { blocks.withLock { $0[block] = bytes } }

  func attend(_ query: CacheQuery) throws -> CacheResult {
    let problem = query.problem
    let (keys, values) = try rows(query)
    let asked = try query.query.tensor()
    let swapped = problem.layout == .bshd
    var call = AttentionCall(
      query: try rotated(asked, query), key: swapped ? try keys.swappingHeads() : keys,
      value: swapped ? try values.swappingHeads() : values, layout: problem.layout)
    call.mask = query.mask
    call.keyLengths = problem.sequences.map(\.keyLength)
    call.scale = problem.scale
    call.softcap = problem.softcap
    call.alibiSlopes = query.alibiSlopes
    call.sinks = query.sinks
    call.returning = [.output, .logSumExp]
    let result = try engine.attention(call)
    guard let output = result.output, let logSumExp = result.logSumExp else {
      throw AttentionError.cannotRun(device: "cpu", reason: "the output was not computed")
    }
    let converted = try output.converted(to: problem.elementType)
    guard !query.onHost else { return .host(output: converted, logSumExp: logSumExp) }
    if let recording = query.recording {
      try recording.output.write(converted)
      try recording.logSumExp.write(logSumExp)
      return .device(output: recording.output, logSumExp: recording.logSumExp)
    }
    return .device(output: try engine.deviceTensor(converted), logSumExp: try engine.deviceTensor(logSumExp))
  }

  /// The keys and values of every sequence, `[B, Hkv, Lk, ·]` in float32, as long as the longest.
  private func rows(_ query: CacheQuery) throws -> (key: Tensor, value: Tensor) {
    let problem = query.problem
    let length = problem.keyLength
    let (width, valueWidth) = (shape.key.width, shape.valueDimension)
    let key = try Tensor(zeros: [problem.batch, shape.heads, length, width], elementType: .float32)
    let value = try Tensor(zeros: [problem.batch, shape.heads, length, valueWidth], elementType: .float32)
    let (keys, values) = (key.mutableElements(of: Float.self), value.mutableElements(of: Float.self))
    blocks.withLock { blocks in
      for (b, sequence) in query.sequences.enumerated() {
        for segment in sequence.segments {
          for (n, j) in segment.keys.enumerated() {
            let slot = segment.place + n
            let block = query.blocks[segment.entry + slot / shape.blockLength]
            let place = slot % shape.blockLength
            for head in 0..<shape.heads {
              let row = (b * shape.heads + head) * length + j
              let decoded = decode(blocks[block], shape.key, at: rowStart(head, place, shape.key))
              for d in 0..<width { keys[row * width + d] = decoded[d] }
              let own =
                shape.value.map {
                  decode(blocks[block], $0, at: shape.keyBytes + rowStart(head, place, $0))
                } ?? decoded
              for d in 0..<valueWidth { values[row * valueWidth + d] = own[d] }
            }
          }
        }
      }
    }
    return (key, value)
  }

  private func decode(_ block: [UInt8], _ format: KVRowFormat, at start: Int) -> [Float] {
    block.withUnsafeBytes { format.decode(UnsafeRawBufferPointer(rebasing: $0[start..<start + format.byteCount])) }
  }

  /// The queries in float32, rotated to their positions.
  private func rotated(_ tensor: Tensor, _ query: CacheQuery) throws -> Tensor {
    guard let angles = query.angles else { return try tensor.converted(to: .float32) }
    let (problem, width, pairs) = (query.problem, query.problem.headDimension, angles.embedding.pairs)
    var elements = tensor.floats()
    for b in 0..<problem.batch {
      for h in 0..<problem.queryHeads {
        for i in 0..<problem.queryLength {
          let start = problem.operands.query.offset(batch: b, head: h, row: i)
          let first = (b * problem.queryLength + i) * 2 * pairs
          let row = angles.embedding.rotate(
            Array(elements[start..<start + width]), cosines: angles.values[first..<first + pairs],
            sines: angles.values[first + pairs..<first + 2 * pairs])
          elements.replaceSubrange(start..<start + width, with: row)
        }
      }
    }
    return try Tensor(elements, shape: tensor.shape)
  }
}

extension Tensor {
  /// `[B, H, L, D]` as `[B, L, H, D]`, in float32.
  fileprivate func swappingHeads() throws -> Tensor {
    let (B, H, L, D) = (shape[0], shape[1], shape[2], shape[3])
    let source = floats()
    return try Tensor(shape: [B, L, H, D], elementType: .float32) { bytes in
      let target = bytes.bindMemory(to: Float.self)
      for b in 0..<B {
        for h in 0..<H {
          for l in 0..<L {
            for d in 0..<D { target[((b * L + l) * H + h) * D + d] = source[((b * H + h) * L + l) * D + d] }
          }
        }
      }
    }
  }
}
