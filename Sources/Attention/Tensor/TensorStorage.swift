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

  /// Storage of `byteCount` zero bytes.
  ///
  /// - Throws: ``AttentionError/outOfMemory(bytes:)``: Swift's own allocation would end the process.
  package init(byteCount: Int) throws {
    var memory: UnsafeMutableRawPointer?
    guard posix_memalign(&memory, Self.alignment, max(byteCount, 1)) == 0, let memory else {
      throw AttentionError.outOfMemory(bytes: byteCount)
    }
    memset(memory, 0, max(byteCount, 1))
    base = memory
    bytes = UnsafeMutableRawBufferPointer(start: memory, count: max(byteCount, 1))
  }

  deinit { free(base) }
}
