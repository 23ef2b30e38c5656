#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The memory behind a tensor: written once while it is made, then only read, so it may be shared between threads.
package final class TensorStorage: @unchecked Sendable {
  package let bytes: UnsafeMutableRawBufferPointer

  /// The first byte.
  package let base: UnsafeMutableRawPointer

  /// Vector loads want a cache line; OpenCL implementations that use host memory in place want no more.
  static let alignment = 64

  /// From this size on memory is asked for in huge pages, where the system has them: walking it costs fewer translations.
  private static let hugePageBytes = 2 << 20

  /// Storage of `byteCount` zero bytes, or of anything.
  ///
  /// - Throws: ``AttentionError/outOfMemory(bytes:)``: Swift's own allocation would end the process.
  package init(byteCount: Int, zeroed: Bool = true) throws {
    var memory: UnsafeMutableRawPointer?
    let isLarge = byteCount >= 2 * Self.hugePageBytes
    let alignment = isLarge ? Self.hugePageBytes : Self.alignment
    guard posix_memalign(&memory, alignment, max(byteCount, 1)) == 0, let memory else {
      throw AttentionError.outOfMemory(bytes: byteCount)
    }
    #if os(Linux)
      // A wish: without huge pages the memory is the same.
      if isLarge { madvise(memory, byteCount, MADV_HUGEPAGE) }
    #endif
    if zeroed { memset(memory, 0, max(byteCount, 1)) }
    base = memory
    bytes = UnsafeMutableRawBufferPointer(start: memory, count: max(byteCount, 1))
  }

  deinit { free(base) }
}
