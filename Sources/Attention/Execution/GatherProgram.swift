import OpenCL

/// The kernel that brings rows of a cache side by side.
enum GatherProgram {
  static let sources = ["common", "key_value_rows", "gather"]

  struct Key: Hashable {
    /// Of the rows side by side.
    let elementType: ElementType
    let storage: RowStorage
  }

  static func program(_ key: Key) -> KernelProgram {
    KernelProgram(
      kernels: ["gather_rows"], sources: sources,
      options: [
        "-cl-std=CL1.2", "-DSTORAGE=\(key.elementType.storageOption)", "-DROW_STORAGE=\(key.storage.rawValue)",
      ])
  }

  static func kernel(_ key: Key, _ context: Context) throws -> Kernel {
    try Kernel(try program(key).build(context), "gather_rows")
  }
}

extension KVCacheStorage {
  /// The type that rows are gathered in for queries of a type: their own where that is the storage's too.
  func gathered(for queries: ElementType) -> ElementType { rows == RowStorage(queries) ? queries : .float32 }
}

/// Rows of a cache that follow one another, as Kernels/gather.cl sees them: the mirror of `Stretch`.
struct StretchRecord: BitwiseCopyable {
  var from: Int64
  var to: Int64
  var count: Int32
  var padding: Int32 = 0
}
