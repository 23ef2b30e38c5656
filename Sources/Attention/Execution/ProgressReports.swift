import Dispatch
import Synchronization

/// Tells a caller how far a call is, from a thread of its own: a device is not held up by what the caller does with it, and the caller
/// may use the engine there.
final class ProgressReports: Sendable {
  private let body: @Sendable (Double) -> Void
  private let headCount: Int
  private let done = Mutex(0)
  private let queue = DispatchQueue(label: "attention.progress")

  /// - Parameter body: Called with the fraction done, from 0 to 1, which never falls.
  init(of headCount: Int, _ body: @escaping @Sendable (Double) -> Void) {
    self.headCount = max(1, headCount)
    self.body = body
  }

  /// Some more heads are done.
  func add(_ heads: Int) {
    done.withLock { done in
      done += heads
      let fraction = Double(done) / Double(headCount)
      queue.async { [body] in body(fraction) }
    }
  }

  /// Waits until everything has been told.
  func finish() { queue.sync {} }
}
