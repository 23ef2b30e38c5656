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
    #expect(fractions.last == 1)
    #expect(fractions == fractions.sorted())
    #expect(fractions.allSatisfy { $0 > 0 && $0 <= 1 })
  }

  @Test("Whoever is told may use the engine", arguments: TestDevice.allAndReference)
  func engineInside(device: TestDevice) throws {
    let engine = try device.engine()
    let call = try CallShape(batch: 2, queries: 65, keys: 65, D: 16).call()
    let outputs = Mutex<[[Float]]>([])
    let result = try engine.attention(call) { _ in
      if let output = try? engine.attention(call).output { outputs.withLock { $0.append(output.floats()) } }
    }
    let others = outputs.withLock { $0 }
    #expect(!others.isEmpty)
    #expect(others.allSatisfy { $0 == result.output?.floats() })
  }
}
