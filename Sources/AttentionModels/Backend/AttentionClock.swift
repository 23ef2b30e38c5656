import Synchronization

/// Times the attention of a model's layers, while somebody wants to know: a device has to be waited for before and after.
final class AttentionClock: Sendable {
  /// So far; nil where nobody wants to know.
  private let seconds = Mutex<Double?>(nil)

  /// Runs a layer's attention.
  ///
  /// - Parameter wait: Waits until everything is done that was started before.
  func time<Result>(waiting wait: () throws -> Void = {}, _ attention: () throws -> Result) throws -> Result {
    guard seconds.withLock({ $0 != nil }) else { return try attention() }
    try wait()
    let start = ContinuousClock.now
    let result = try attention()
    try wait()
    let elapsed = (ContinuousClock.now - start) / .seconds(1)
    seconds.withLock { $0 = $0.map { $0 + elapsed } }
    return result
  }

  /// Runs `body`, and says how long attention took meanwhile.
  func measure<Result>(_ body: () throws -> Result) rethrows -> (result: Result, seconds: Double) {
    seconds.withLock { $0 = 0 }
    defer { seconds.withLock { $0 = nil } }
    let result = try body()
    return (result, seconds.withLock { $0 ?? 0 })
  }
}
