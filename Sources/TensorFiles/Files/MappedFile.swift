#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A regular file, mapped read-only: its pages come from the disk as they are touched, and are shared between processes.
///
/// For files of weights alone, which are larger than what one wants to copy and are replaced by renaming, never written
/// in place: who truncates a mapped file takes its pages away from the reader. Everything smaller goes by `ReadableFile`.
package final class MappedFile: @unchecked Sendable {
  package let path: String

  /// The whole file; valid as long as this object is.
  package let bytes: UnsafeRawBufferPointer

  /// - Throws: ``TensorFileError`` where the file cannot be opened or mapped, is not a regular file, or is empty.
  package init(path: String) throws {
    guard !path.utf8.contains(0) else {
      throw TensorFileError(file: path, found: "a path with a NUL character", expected: "a path")
    }
    // Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    guard let descriptor = retryingInterrupts({ open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }) else {
      throw TensorFileError(file: path, found: lastSystemError, expected: "a file that can be read")
    }
    // The mapping keeps the file; the descriptor is not needed for that.
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, isRegularFile(status.st_mode) else {
      throw TensorFileError(file: path, found: "something else", expected: "a regular file")
    }
    guard status.st_size > 0 else {
      throw TensorFileError(file: path, found: "an empty file", expected: "a file of weights")
    }
    let memory = mmap(nil, Int(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard let memory, memory != UnsafeMutableRawPointer(bitPattern: -1) else {
      throw TensorFileError(file: path, found: lastSystemError, expected: "a file that can be mapped")
    }
    self.path = path
    bytes = UnsafeRawBufferPointer(start: memory, count: Int(status.st_size))
  }

  deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }
}
