#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A regular file that is open for reading at any position, from any thread.
///
/// It is read with `pread` and never mapped: another process that truncates a mapped file kills the reader with SIGBUS,
/// where `pread` returns fewer bytes. Holding the descriptor keeps the file's contents when it is replaced by a rename.
final class ReadableFile: Sendable {
  let path: String

  /// The file's size when it was opened.
  let byteCount: Int

  private let descriptor: Int32

  /// - Throws: ``TensorFileError`` where the file cannot be opened or is not a regular file.
  init(path: String) throws {
    guard !path.utf8.contains(0) else {
      throw TensorFileError(file: path, found: "a path with a NUL character", expected: "a path")
    }
    // Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    guard let descriptor = retryingInterrupts({ open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }) else {
      throw TensorFileError(file: path, found: lastSystemError, expected: "a file that can be read")
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0, isRegularFile(status.st_mode) else {
      close(descriptor)
      throw TensorFileError(file: path, found: "something else", expected: "a regular file")
    }
    self.path = path
    self.descriptor = descriptor
    byteCount = Int(status.st_size)
  }

  deinit { close(descriptor) }

  /// Fills `bytes` from `offset` on; no alignment is asked of either.
  ///
  /// - Throws: ``TensorFileError`` where the file fails or now ends before the last byte.
  func read(at offset: Int, into bytes: UnsafeMutableRawBufferPointer, part: TensorFileError.Part = .file) throws {
    var done = 0
    while done < bytes.count {
      let rest = UnsafeMutableRawBufferPointer(rebasing: bytes[done...])
      guard let count = retryingInterrupts({ pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done)) })
      else {
        throw TensorFileError(
          file: path, part: part, found: lastSystemError, expected: "\(bytes.count) bytes at \(offset)")
      }
      guard count > 0 else {
        throw TensorFileError(
          file: path, part: part, found: "the file's end at byte \(offset + done)",
          expected: "\(bytes.count) bytes at \(offset)")
      }
      done += count
    }
  }
}
