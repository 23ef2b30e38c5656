import Attention
import AttentionTestSupport
import Testing

/// Computes a call on a device and holds it to the reference.
func check(
  _ call: AttentionCall, on device: TestDevice, sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let result = try device.attention(call)
  #expect(try Expectation(call).misses(result) == [], sourceLocation: sourceLocation)
}
