import CAttention
import Foundation

/// The threads that the CPU backend works on: the caller's and some that belong to the process and sleep between calls.
///
/// A call waits for no thread that has not begun to work for it, so it may be made from a task of Swift's concurrency; and
/// results do not depend on the number of threads.
package struct Threads: Sendable, Equatable {
  package let count: Int

  /// What a count may be.
  package static let counts = 1...1024

  /// - Parameter count: Where it is nil, `ATTENTION_THREADS`, or one for each processor that the process may use.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a count that is none.
  package init(_ count: Int? = nil) throws {
    if let count {
      try self.init(count, argument: "threads", found: "\(count)")
    } else if let text = ProcessInfo.processInfo.environment["ATTENTION_THREADS"], !text.isEmpty {
      try self.init(Int(text), argument: "ATTENTION_THREADS", found: text)
    } else {
      self.init(unchecked: min(attention_available_processors(), Self.counts.upperBound))
    }
  }

  private init(_ count: Int?, argument: String, found: String) throws {
    guard let count, Self.counts.contains(count) else {
      throw AttentionError.invalid(
        argument: argument, found: found, expected: "\(Self.counts.lowerBound) to \(Self.counts.upperBound)")
    }
    self.init(unchecked: count)
  }

  /// The caller's thread.
  static let alone = Threads(unchecked: 1)

  private init(unchecked count: Int) { self.count = count }

  /// Runs `body` for each task and returns when all are done. A worker, below ``count``, runs one task at a time, of its own
  /// share of neighbouring tasks first, in order.
  package func run(_ tasks: Int, _ body: (_ task: Int, _ worker: Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { pointer in
        attention_parallel(
          count, max(0, tasks),
          { context, task, worker in
            context?.assumingMemoryBound(to: ((Int, Int) -> Void).self).pointee(task, worker)
          }, UnsafeMutableRawPointer(mutating: pointer))
      }
    }
  }
}
