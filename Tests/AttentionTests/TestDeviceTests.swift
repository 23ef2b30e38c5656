import AttentionTestSupport
import Testing

/// Without this a mistyped device would pass for a machine that has none.
@Test("The devices asked for are there")
func devicesAreThere() {
  #expect(TestDevice.failure == nil)
}
