#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A file in the making: it appears under its path whole, or not at all.
///
/// The bytes go to a temporary name in the same folder, are flushed to the disk, and the name is then changed, which a
/// file system does in one step. A failure on the way removes the temporary file and leaves an older one as it was.
package struct AtomicFile: ~Copyable {
  private let path: String
  private let descriptor: Int32

  /// Makes the file at `path` of what `body` writes.
  ///
  /// A symbolic link at `path` is followed, and a file that is there already hands on its permissions.
  ///
  /// - Throws: ``TensorFileError`` where the file cannot be written or `path` is something else than a regular file,
  ///   and whatever `body` throws.
  package static func write(to path: String, _ body: (borrowing AtomicFile) throws -> Void) throws {
    guard !path.utf8.contains(0) else {
      throw TensorFileError(file: path, found: "a path with a NUL character", expected: "a path")
    }
    // A rename would put a plain file in the place of /dev/null, or of the link /dev/stdout.
    var status = stat()
    let exists = stat(path, &status) == 0
    guard !exists || isRegularFile(status.st_mode) else {
      throw TensorFileError(file: path, found: "something else", expected: "a regular file, or none")
    }
    let path = try followed(path, exists: exists)
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    // A short name of its own: one made from the file's name could pass the longest that the folder allows.
    let temporary = folder + ".attention-\(String(UInt64.random(in: .min ... .max), radix: 36)).tmp"
    guard
      let descriptor = retryingInterrupts({ open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666) })
    else {
      throw TensorFileError(file: path, found: lastSystemError, expected: "a file that can be written")
    }
    do {
      let file = AtomicFile(path: path, descriptor: descriptor)
      do {
        if exists { try file.check(fchmod(descriptor, status.st_mode & 0o7777)) }
        try body(file)
        try file.check(fsync(descriptor))
      } catch {
        close(descriptor)
        throw error
      }
      // A network file system may report a failed write only here.
      try file.check(close(descriptor))
      try file.check(rename(temporary, path))
    } catch {
      unlink(temporary)
      throw error
    }
    flushFolder(folder.isEmpty ? "." : folder)
  }

  /// Where a path leads if its last part is a link; elsewhere the path itself.
  private static func followed(_ path: String, exists: Bool) throws -> String {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return path }
    guard exists, let target = realpath(path, nil) else {
      throw TensorFileError(file: path, found: "a link to nothing", expected: "a file that can be written")
    }
    defer { free(target) }
    return String(cString: target)
  }

  /// Appends bytes.
  package func append(_ bytes: UnsafeRawBufferPointer) throws {
    var done = 0
    while done < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
      guard let count = retryingInterrupts({ Self.systemWrite(descriptor, rest) }) else { throw failure() }
      done += count
    }
  }

  private static func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    #if canImport(Glibc)
      Glibc.write(descriptor, bytes.baseAddress, bytes.count)
    #elseif canImport(Musl)
      Musl.write(descriptor, bytes.baseAddress, bytes.count)
    #else
      Darwin.write(descriptor, bytes.baseAddress, bytes.count)
    #endif
  }

  private func check(_ status: Int32) throws {
    guard status == 0 else { throw failure() }
  }

  private func failure() -> TensorFileError {
    TensorFileError(file: path, found: lastSystemError, expected: "a file that can be written")
  }

  /// Makes the new name last through a power failure. The file is whole already, so a folder that cannot be flushed
  /// (some file systems have no such thing) is no error.
  private static func flushFolder(_ folder: String) {
    guard let descriptor = retryingInterrupts({ open(folder, O_RDONLY | O_CLOEXEC) }) else { return }
    fsync(descriptor)
    close(descriptor)
  }
}
