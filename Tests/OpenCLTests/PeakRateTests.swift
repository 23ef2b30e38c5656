import OpenCL
import Testing

extension OnDevices {
  @Suite("Peak rate")
  struct PeakRateTests {
    /// The measurement checks its own result; what is left is that the rate is one a device can have.
    @Test("is measured", arguments: devices)
    func measured(device: Device) throws {
      let rate = try PeakRate(measuring: device, cache: .none)
      // From the slowest driver of software to the fastest accelerator.
      #expect((1e8...1e16).contains(rate.operationsPerSecond), "\(rate.operationsPerSecond)")
    }

    @Test("the kernel does every round on every number", arguments: devices)
    func everyRound(device: Device) throws {
      let context = try Context(device)
      let program = try Program(
        context, sources: PeakRate.sources, options: "-DWIDTH=4 -DCHAINS=3", cache: .none)
      let kernel = try Kernel(program, "multiply_adds")
      let queue = try CommandQueue(context)
      // x → x / 2 + 3 moves towards 6 and halves the distance each time: 7 rounds leave 1/128 of it, exactly.
      let numbers = (0..<5 * 3 * 4).map { Float(6 + 128 * $0) }
      let buffer = try Buffer(context, byteCount: numbers.count * MemoryLayout<Float>.stride)
      try queue.write(numbers, to: buffer)
      try kernel.setArgument(0, buffer)
      try kernel.setArgument(1, Float(0.5))
      try kernel.setArgument(2, Float(3))
      try kernel.setArgument(3, Int32(7))
      try queue.enqueueKernel(kernel, global: [5])
      #expect(try queue.read(buffer, zero: Float(0), count: numbers.count) == (0..<numbers.count).map { Float(6 + $0) })
    }
  }
}
