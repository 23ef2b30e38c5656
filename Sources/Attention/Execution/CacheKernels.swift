import OpenCL

/// The kernels that store rows in a cache, built for one device, types and dimensions.
final class CacheKernels {
  struct Key: Hashable {
    /// Of the rows that come.
    let elementType: ElementType
    let storage: RowStorage
    let keyWidth: Int
    let valueWidth: Int
    /// Whether rows, and what of them is rotated, are of fours.
    let aligned: Bool

    /// - Parameter rotaryPairs: Pairs of elements of a key that are rotated.
    init(elementType: ElementType, storage: RowStorage, keyWidth: Int, valueWidth: Int, rotaryPairs: Int) {
      self.elementType = elementType
      self.storage = storage
      self.keyWidth = keyWidth
      self.valueWidth = valueWidth
      aligned = [keyWidth, valueWidth, rotaryPairs].allSatisfy { $0 % 4 == 0 }
    }

    var program: KernelProgram {
      let options = [
        "-cl-std=CL1.2", "-DSTORAGE=\(elementType.storageOption)", "-DROW_STORAGE=\(storage.rawValue)",
        "-DKEY_WIDTH=\(keyWidth)", "-DVALUE_WIDTH=\(valueWidth)",
      ]
      return KernelProgram(
        kernels: ["append_rows"], sources: CacheKernels.sources, options: options + (aligned ? ["-DALIGNED"] : []))
    }
  }

  let append: Kernel

  static let sources = ["common", "key_value_rows", "rotary", "append"]

  init(_ key: Key, _ context: Context) throws {
    append = try Kernel(try key.program.build(context), "append_rows")
  }
}

/// One token as Kernels/append.cl sees it: the mirror of `Token`.
struct TokenRecord: BitwiseCopyable {
  /// Where its rows for head 0 begin, in elements.
  var key: Int64
  var value: Int64 = 0
  /// The row that the key of head 0 becomes.
  var row: Int64
  /// Its place among the tokens that are rotated.
  var rotary: Int32
  var padding: Int32 = 0
}

extension CacheKernels {
  /// What the rows of some tokens are and become.
  struct Rows {
    var key: Buffer
    /// Nil where values are keys or there are none.
    var value: Buffer?
    var heads: Int
    /// Elements from one head to the next.
    var headStrides: (key: Int, value: Int)
    var keyWidth: Int
    var valueWidth: Int
    /// Cosines and sines of the tokens, where keys are rotated.
    var angles: Buffer?
    var embedding: RotaryEmbedding?
  }

  /// Starts to store the rows of tokens; those of the next head go `blockRows` further on.
  func enqueueAppend(
    _ queue: CommandQueue, _ tokens: Buffer, count: Int, _ rows: Rows, toKeys keys: Buffer, values: Buffer,
    blockRows: Int
  ) throws {
    func blocks(_ width: Int) -> Int { (width + 31) / 32 }
    let valueBlocks = rows.value == nil ? 0 : blocks(rows.valueWidth)
    var arguments = ArgumentList(append)
    try arguments.add(tokens, rows.key, rows.value ?? rows.key, rows.angles ?? rows.key, keys, values)
    try arguments.add(Int32(rows.heads), Int32(blockRows), Int32(valueBlocks))
    try arguments.add(Int64(rows.headStrides.key), Int64(rows.headStrides.value))
    try arguments.add(Int32(rows.embedding?.pairs ?? 0), rows.embedding?.style == .interleaved)
    try queue.enqueueKernel(append, global: [count * rows.heads * (blocks(rows.keyWidth) + valueBlocks)])
  }
}
