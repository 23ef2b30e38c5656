/// Blocks taken for a change of a cache, which is either kept or undone.
struct BlockChange {
  private let pool: KVBlockPool
  private var taken: [Int] = []
  private var left: [Int] = []
  private var copies: [(from: Int, to: Int)] = []

  init(_ pool: KVBlockPool) { self.pool = pool }

  mutating func take(_ count: Int) throws -> [Int] {
    let blocks = try pool.take(count)
    taken += blocks
    return blocks
  }

  /// Puts a copy in the place of a block that another table lists too.
  mutating func own(_ block: inout Int) throws {
    guard pool.isShared(block) else { return }
    let copy = try take(1)[0]
    copies.append((block, copy))
    left.append(block)
    block = copy
  }

  /// Blocks that the change no longer needs.
  mutating func leave(_ blocks: [Int]) { left += blocks }

  func copyShared() throws {
    for copy in copies { try pool.store.copy(block: copy.from, to: copy.to) }
  }

  func undo() { pool.release(taken) }
  func keep() { pool.release(left) }
}
