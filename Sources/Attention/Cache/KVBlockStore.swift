/// What the rows of a cache look like: blocks of `blockLength` tokens, in a block for each head its rows one after the
/// other.
package struct KVBlockShape: Sendable, Hashable {
  package let heads: Int
  package let blockLength: Int
  package let key: KVRowFormat
  /// Nil where the values are the beginnings of the keys.
  package let value: KVRowFormat?
  package let valueDimension: Int

  package var keyBytes: Int { heads * blockLength * key.byteCount }
  package var valueBytes: Int { heads * blockLength * (value?.byteCount ?? 0) }

  /// The keys and the values: where they are in a cache's contents, where they begin in a block, and the bytes of a row.
  func forEachPart(_ body: (WritableKeyPath<KVCache.Contents, [UInt8]>, Int, Int) -> Void) {
    body(\.key, 0, key.byteCount)
    if let value { body(\.value, keyBytes, value.byteCount) }
  }
}

/// Rows of keys or values for a cache, on the host or the device.
enum KVRows {
  case host(Tensor)
  case device(DeviceTensor)

  var shape: [Int] {
    switch self {
    case .host(let tensor): tensor.shape
    case .device(let tensor): tensor.shape
    }
  }

  var elementType: ElementType {
    switch self {
    case .host(let tensor): tensor.elementType
    case .device(let tensor): tensor.elementType
    }
  }

  /// The rows on the host: where they are, if they are there, so they are to be read before they may change.
  func tensor() throws -> Tensor {
    switch self {
    case .host(let tensor): return tensor
    case .device(let tensor):
      guard case .host(let storage) = tensor.memory else { return try tensor.tensor() }
      return Tensor(shape: tensor.shape, elementType: tensor.elementType, storage: storage)
    }
  }
}

/// One token that joins a cache.
struct KVToken {
  /// Where its rows for head 0 begin in the keys and values that are given, in elements.
  var key: Int
  var value: Int
  /// Where they go.
  var block: Int
  var place: Int
}

/// Cosines and sines for some tokens or queries: `[rows, 2, pairs]`.
struct RotaryAngles {
  let embedding: RotaryEmbedding
  let values: [Float]

  /// Rotates a row on the host by the angles of a token or query.
  func rotate(_ row: UnsafeMutableBufferPointer<Float>, _ index: Int) {
    let pairs = embedding.pairs
    values.withUnsafeBufferPointer { values in
      let cosines = 2 * index * pairs..<(2 * index + 1) * pairs
      let sines = cosines.upperBound..<cosines.upperBound + pairs
      embedding.rotate(row, cosines: .init(rebasing: values[cosines]), sines: .init(rebasing: values[sines]))
    }
  }
}

/// What is asked of the keys and values of a cache.
struct CacheQuery {
  let problem: AttentionProblem
  let query: KVRows
  let mask: AttentionMask
  let alibiSlopes: [Float]?
  let sinks: [Float]?
  /// Of each sequence its blocks and where its keys are in them; segments count entries of all tables one after the other.
  let blocks: [Int]
  let sequences: [DecodeSequence]
  /// Of each query of each sequence.
  let angles: RotaryAngles?
  /// Whether the results are wanted on the host.
  let onHost: Bool
  /// Where a recorded step wants them.
  var recording: DecodeRecording?
}

enum CacheResult {
  case host(output: Tensor, logSumExp: Tensor)
  case device(output: DeviceTensor, logSumExp: DeviceTensor)
}

/// The memory of a cache: blocks of rows, and attention over them. One for OpenCL devices, one for the host.
protocol KVBlockStore: AnyObject, Sendable {
  var shape: KVBlockShape { get }

  /// Adds blocks, one at least and no more than `most`; `wanted` or more where it can. How many.
  func grow(by wanted: Int, atMost most: Int) throws -> Int

  /// Stores the rows of tokens, keys rotated by the angles of their place in the list. `headStrides` are elements from one
  /// head to the next in the keys and values given.
  func append(
    _ tokens: [KVToken], key: KVRows, value: KVRows?, headStrides: (key: Int, value: Int), angles: RotaryAngles?) throws

  func copy(block: Int, to target: Int) throws

  /// The bytes of a block: its keys, then its values.
  func read(block: Int) throws -> [UInt8]
  func write(block: Int, _ bytes: [UInt8]) throws

  func attend(_ query: CacheQuery) throws -> CacheResult

  /// Device memory taken, in bytes.
  var allocatedBytes: Int { get }
}
