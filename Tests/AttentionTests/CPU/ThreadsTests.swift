import Attention
import Synchronization
import Testing

/// A sum that many threads add to.
private final class Sum: Sendable {
  private let value = Atomic(0)
  func add(_ term: Int) { value.add(term, ordering: .relaxed) }
  var total: Int { value.load(ordering: .relaxed) }
}

@Suite("Threads")
struct ThreadsTests {
  @Test("Every task once, by workers below the count", arguments: [1, 2, 3, 8])
  func everyTaskOnce(count: Int) throws {
    let threads = try Threads(count)
    for tasks in [0, 1, 2, 7, 1000] {
      let runs = Mutex<[Int: Int]>([:])
      threads.run(tasks) { task, worker in
        runs.withLock { $0[task, default: 0] += 1 }
        #expect(worker < count)
      }
      #expect(runs.withLock { $0 } == Dictionary(uniqueKeysWithValues: (0..<tasks).map { ($0, 1) }))
    }
  }

  @Test("Tasks that call for tasks, and calls from many tasks of Swift's")
  func nested() async throws {
    let threads = try Threads(2)
    let sum = Sum()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          threads.run(10) { _, _ in threads.run(10) { task, _ in sum.add(task) } }
        }
      }
    }
    #expect(sum.total == 8 * 10 * 45)
  }

  @Test("A count that is none", arguments: [0, -1, 1025])
  func wrongCount(count: Int) {
    #expect(throws: AttentionError.invalid(argument: "threads", found: "\(count)", expected: "1 to 1024")) {
      try Threads(count)
    }
  }
}
