import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Memory for packed keys, splits and what threads keep, from one call to the next: fresh memory costs a fault a page, which
/// is more than a small call takes. Each call that is under way has a piece of its own.
final class ScratchMemory: Sendable {
  private struct Piece: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let byteCount: Int
  }

  private let free = Mutex<[Piece]>([])

  /// Pieces kept for later calls.
  private static let keptPieces = 4

  /// Calls `body` with `byteCount` bytes, aligned to 64, which hold anything.
  ///
  /// - Throws: ``AttentionError/outOfMemory(bytes:)``, and whatever `body` throws.
  func withBytes<Result>(_ byteCount: Int, _ body: (UnsafeMutableRawPointer) throws -> Result) throws -> Result {
    let piece = try take(byteCount)
    defer { put(piece) }
    return try body(piece.base)
  }

  private func take(_ byteCount: Int) throws -> Piece {
    let fitting = free.withLock { free -> Piece? in
      let index = free.indices.filter { free[$0].byteCount >= byteCount }.min {
        free[$0].byteCount < free[$1].byteCount
      }
      return index.map { free.remove(at: $0) }
    }
    if let fitting { return fitting }
    var memory: UnsafeMutableRawPointer?
    guard posix_memalign(&memory, 64, max(byteCount, 1)) == 0, let memory else {
      throw AttentionError.outOfMemory(bytes: byteCount)
    }
    return Piece(base: memory, byteCount: byteCount)
  }

  /// Keeps the largest pieces.
  private func put(_ piece: Piece) {
    let dropped = free.withLock { free -> Piece? in
      free.append(piece)
      guard free.count > Self.keptPieces else { return nil }
      return free.indices.min { free[$0].byteCount < free[$1].byteCount }.map { free.remove(at: $0) }
    }
    if let dropped { release(dropped.base) }
  }

  deinit { free.withLock { for piece in $0 { release(piece.base) } } }
}

/// The C library's `free`, by a name that a property of the same name does not hide.
private func release(_ memory: UnsafeMutableRawPointer) { free(memory) }
