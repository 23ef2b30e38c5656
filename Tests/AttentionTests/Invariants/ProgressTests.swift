import Attention
import AttentionTestSupport
import Synchronization
import Testing

@Suite("Progress")
struct ProgressTests {
  @Test("Fractions that come to 1", arguments: TestDevice.allAndReference)
  func fractions(device: TestDevice) throws {
    let call = try CallShape(batch: 2, queries: 65, keys: 65, D: 16).call()
    let seen = Mutex<[Double]>([])
    let result = try device.engine().attention(call) { fraction in seen.withLock { $0.append(fraction) } }
    let fractions = seen.withLock { $0 }
    #expect(result.output != nil)
    // Threads may tell in another order than they finished, so only the largest is known.
    #expect(fractions.max() == 1)
    #expect(fractions.allSatisfy { $0 > 0 && $0 <= 1 })
  }
}
