import OpenCL

/// The kernels that store rows in a cache, built for one device, types and dimensions.
final class CacheKernels {
  struct Key: Hashable {
    /// Of the rows that come.
    let elementType: ElementType
    let storage: RowStorage
    let keyWidth: Int
    let valueWidth: Int
  }

  let append: Kernel

  static let sources = ["common", "key_value_rows", "rotary", "append"]

  init(_ key: Key, _ context: Context) throws {
    let options = [
      "-cl-std=CL1.2", "-DSTORAGE=\(key.elementType.storageOption)", "-DROW_STORAGE=\(key.storage.rawValue)",
      "-DKEY_WIDTH=\(key.keyWidth)", "-DVALUE_WIDTH=\(key.valueWidth)",
    ]
    append = try Kernel(
      try Program(context, sources: Self.sources, options: options.joined(separator: " ")), "append_rows")
  }
}
