import Attention

/// Times attention over a key/value cache in some storage, on one device after the other.
struct CacheBench {
  private let shape: Shape
  private let storage: KVCacheStorage
  private let call: AttentionCall

  /// The rows that a cache of a shape keeps, and what attention over them must come to, as a call in float32.
  ///
  /// - Parameter call: The shape's operands.
  /// - Throws: `AttentionError.invalid` where the storage has no rows of the shape's dimensions.
  init(_ shape: Shape, _ storage: KVCacheStorage, _ call: AttentionCall) throws {
    for width in [shape.headDimension, shape.valueDimension] { try storage.check(width: width) }
    self.shape = shape
    self.storage = storage
    self.call = call
  }

  /// The call on the numbers that the cache's storage rounds the keys and values to.
  func rounded() throws -> AttentionCall {
    func rounded(_ tensor: Tensor, _ width: Int) throws -> Tensor {
      let format = KVRowFormat(storage, width: width)
      let elements = tensor.floats()
      var bytes = [UInt8](repeating: 0, count: format.byteCount)
      return try Tensor(shape: tensor.shape, elementType: .float32) { target in
        let rows = target.bindMemory(to: Float.self)
        for start in stride(from: 0, to: elements.count, by: width) {
          elements.withUnsafeBufferPointer { elements in
            bytes.withUnsafeMutableBytes { format.encode(.init(rebasing: elements[start..<start + width]), to: $0) }
          }
          let row = bytes.withUnsafeBytes { format.decode($0) }
          for d in 0..<width { rows[start + d] = row[d] }
        }
      }
    }
    var result = call
    result.operands = .separate(
      query: try call.query.converted(to: .float32), key: try rounded(call.key, shape.headDimension),
      value: try rounded(call.value, shape.valueDimension))
    return result
  }

  /// Seconds of attention alone, queries and output on the device; and of a step from host arrays to host arrays, which
  /// appends a token first. The result is of the cache before that.
  func measure(
    on engine: AttentionEngine, repetitions: Int
  ) throws -> (result: AttentionResult, kernelSeconds: [Double], stepSeconds: [Double], bytes: Int) {
    var options = KVCache.Options()
    options.valueDimension = shape.valueDimension
    let cache = try engine.makeKVCache(
      batch: shape.batch, heads: shape.kvHeads, headDimension: shape.headDimension, storage: storage, options: options)
    try cache.append(key: call.key, value: call.value, lengths: call.keyLengths)
    var asked = CacheAttentionOptions()
    asked.mask = shape.mask
    let query = try engine.deviceTensor(call.query)
    func seconds(_ body: () throws -> Void) throws -> Double {
      let start = ContinuousClock.now
      try body()
      return (ContinuousClock.now - start) / .seconds(1)
    }
    let first = try engine.attention(query: call.query, cache: cache, asked)
    let kernels = try (0..<repetitions).map { _ in
      try seconds { try engine.attention(query: query, cache: cache, asked).output.wait() }
    }
    let lengths = cache.lengths
    let token = try (newRow(call.key), newRow(call.value))
    let steps = try (0..<repetitions).map { _ in
      let time = try seconds {
        try cache.append(key: token.0, value: token.1)
        _ = try engine.attention(query: call.query, cache: cache, asked)
      }
      for (b, length) in lengths.enumerated() { try cache.truncate(sequence: b, to: length) }
      return time
    }
    return (AttentionResult(output: first.output), kernels, steps, cache.allocatedBytes)
  }

  /// One row of zeros for every sequence and head.
  private func newRow(_ tensor: Tensor) throws -> Tensor {
    let shape = [tensor.shape[0], tensor.shape[1], 1, tensor.shape[3]]
    return try Tensor([Float](repeating: 0, count: shape.reduce(1, *)), shape: shape, as: tensor.elementType)
  }
}
