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
