import Synchronization

/// The blocks of a cache in the host's memory, for engines that compute on the CPU. They grow as ``DeviceBlocks`` does.
final class HostBlocks: KVBlockStore {
  let shape: KVBlockShape
  let engine: AttentionEngine
  private let state = Mutex<[Part]>([])

  /// Some neighbouring blocks. The rows of a head in all of them follow one another, so that a sequence whose blocks do is
  /// one stretch of rows.
  ///
  /// ```
  ///   head 0 │ block first: blockLength rows │ block first + 1 │ …     head 1 │ block first …
  /// ```
  struct Part: @unchecked Sendable {
    let first: Int
    let count: Int
    let shape: KVBlockShape
    let keys: TensorStorage
    /// The keys' own where those are the values too.
    let values: TensorStorage

    func keyRow(_ head: Int, _ block: Int, _ place: Int) -> UnsafeMutableRawPointer {
      keys.base + row(head, block, place) * shape.key.byteCount
    }

    func valueRow(_ head: Int, _ block: Int, _ place: Int) -> UnsafeMutableRawPointer {
      values.base + row(head, block, place) * (shape.value ?? shape.key).byteCount
    }

    private func row(_ head: Int, _ block: Int, _ place: Int) -> Int {
      (head * count + block - first) * shape.blockLength + place
    }
  }

  /// Bytes of the first part: small caches stay small.
  private static let firstBytes = 1 << 20

  init(_ shape: KVBlockShape, _ engine: AttentionEngine) {
    self.shape = shape
    self.engine = engine
  }

  private var blockBytes: Int { shape.keyBytes + shape.valueBytes }

  var allocatedBytes: Int { parts.reduce(0) { $0 + $1.count } * blockBytes }

  func grow(by wanted: Int, atMost most: Int) throws -> Int {
    try state.withLock { parts in
      let blocks = parts.last.map { $0.first + $0.count } ?? 0
      let count = min(most, max(wanted, blocks, Self.firstBytes / blockBytes))
      let keyBytes = try Tensor.byteCount(shape: [count, shape.keyBytes], elementType: .bool)
      let valueBytes = try Tensor.byteCount(shape: [count, shape.valueBytes], elementType: .bool)
      let keys = try TensorStorage(byteCount: keyBytes, zeroed: false)
      let values = shape.value == nil ? keys : try TensorStorage(byteCount: valueBytes, zeroed: false)
      parts.append(Part(first: blocks, count: count, shape: shape, keys: keys, values: values))
      return count
    }
  }

  /// The parts, in order.
  var parts: [Part] { state.withLock { $0 } }

  static func index(of block: Int, in parts: [Part]) -> Int { parts.lastIndex { $0.first <= block } ?? 0 }

  private func part(of block: Int) -> Part { state.withLock { $0[Self.index(of: block, in: $0)] } }

  // MARK: Rows

  func append(
    _ tokens: [KVToken], key: KVRows, value: KVRows?, headStrides: (key: Int, value: Int), angles: RotaryAngles?
  ) throws {
    let parts = parts
    let key = try key.tensor().converted(to: .float32)
    let value = try value?.tensor().converted(to: .float32)
    let rotated = UnsafeMutableBufferPointer<Float>.allocate(capacity: shape.key.width)
    defer { rotated.deallocate() }
    for (n, token) in tokens.enumerated() {
      let part = parts[Self.index(of: token.block, in: parts)]
      for head in 0..<shape.heads {
        var keyRow = key.row(at: token.key + head * headStrides.key, shape.key.width)
        if let angles {
          _ = rotated.update(fromContentsOf: keyRow)
          angles.rotate(rotated, n)
          keyRow = UnsafeBufferPointer(rotated)
        }
        shape.key.encode(keyRow, to: part.keyRow(head, token.block, token.place))
        guard let value, let format = shape.value else { continue }
        format.encode(
          value.row(at: token.value + head * headStrides.value, format.width),
          to: part.valueRow(head, token.block, token.place))
      }
    }
  }

  func copy(block: Int, to target: Int) throws {
    let (from, to) = (part(of: block), part(of: target))
    forEachRun { head, _, isKey, bytes in
      let source = isKey ? from.keyRow(head, block, 0) : from.valueRow(head, block, 0)
      (isKey ? to.keyRow(head, target, 0) : to.valueRow(head, target, 0)).copyMemory(from: source, byteCount: bytes)
    }
  }

  func read(block: Int) throws -> [UInt8] {
    let part = part(of: block)
    return [UInt8](unsafeUninitializedCapacity: blockBytes) { buffer, count in
      guard let target = UnsafeMutableRawPointer(buffer.baseAddress) else { return }
      forEachRun { head, place, isKey, bytes in
        let source = isKey ? part.keyRow(head, block, 0) : part.valueRow(head, block, 0)
        (target + place).copyMemory(from: source, byteCount: bytes)
      }
      count = blockBytes
    }
  }

  func write(block: Int, _ bytes: [UInt8]) throws {
    let part = part(of: block)
    bytes.withUnsafeBytes { source in
      guard let source = source.baseAddress, bytes.count == blockBytes else { return }
      forEachRun { head, place, isKey, bytes in
        (isKey ? part.keyRow(head, block, 0) : part.valueRow(head, block, 0))
          .copyMemory(from: source + place, byteCount: bytes)
      }
    }
  }

  /// The rows of a block, head by head: keys, then values; `place` is where they stand in a block's bytes.
  private func forEachRun(_ body: (_ head: Int, _ place: Int, _ isKey: Bool, _ bytes: Int) -> Void) {
    let keyBytes = shape.blockLength * shape.key.byteCount
    for head in 0..<shape.heads { body(head, head * keyBytes, true, keyBytes) }
    guard let value = shape.value else { return }
    let valueBytes = shape.blockLength * value.byteCount
    for head in 0..<shape.heads { body(head, shape.keyBytes + head * valueBytes, false, valueBytes) }
  }
}

extension Tensor {
  /// A row of a float32 tensor, from element `first` on.
  fileprivate func row(at first: Int, _ width: Int) -> UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(rebasing: mutableElements(of: Float.self)[first..<first + width])
  }
}
