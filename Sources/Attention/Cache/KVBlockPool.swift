import Synchronization

/// The blocks of a cache and of its forks: which are free, and how many tables list each of the others.
package final class KVBlockPool: Sendable {
  let store: any KVBlockStore
  /// The most blocks there may be; nil where only the device's memory is the limit.
  private let most: Int?
  private let state = Mutex(State())

  private struct State {
    /// For each block the number of tables that list it.
    var users: [Int] = []
    var free: [Int] = []
  }

  init(_ store: any KVBlockStore, most: Int?) {
    self.store = store
    self.most = most
  }

  /// Blocks there are, and those that nobody uses.
  package var blockCount: Int { state.withLock { $0.users.count } }
  package var freeCount: Int { state.withLock { $0.free.count } }

  /// Takes blocks, or none of them.
  ///
  /// - Throws: ``AttentionError/outOfBlocks(needed:available:)``; nothing has changed then.
  func take(_ count: Int) throws -> [Int] {
    try state.withLock { state in
      while state.free.count < count {
        let room = (most ?? .max) - state.users.count
        let wanted = count - state.free.count
        guard room >= wanted else {
          throw AttentionError.outOfBlocks(needed: count, available: state.free.count + room)
        }
        let added = try store.grow(by: wanted, atMost: room)
        state.free += (state.users.count..<state.users.count + added).reversed()
        state.users += Array(repeating: 0, count: added)
      }
      let taken = Array(state.free.suffix(count).reversed())
      state.free.removeLast(count)
      for block in taken { state.users[block] = 1 }
      return taken
    }
  }

  /// Another table lists these blocks.
  func share(_ blocks: [Int]) {
    state.withLock { state in for block in blocks { state.users[block] += 1 } }
  }

  /// A table no longer lists these blocks: those that no other lists are free.
  func release(_ blocks: [Int]) {
    state.withLock { state in
      for block in blocks {
        state.users[block] -= 1
        if state.users[block] == 0 { state.free.append(block) }
      }
    }
  }

  /// Whether another table lists a block too, so that it must not be written to.
  func isShared(_ block: Int) -> Bool { state.withLock { $0.users[block] > 1 } }
}
