import Attention
import AttentionTestSupport
import OpenCL
import Testing

/// Tables on their way to a device, in memory that is used again.
@Suite("Upload ring")
struct UploadRingTests {
  private static func queue(_ device: TestDevice) throws -> CommandQueue {
    let found = try DeviceRegistry.openCLDevices().first { $0.identifier == device.name }
    return try CommandQueue(try Context(try #require(found)))
  }

  /// Each table is read by a command that is given to the queue right after it, and waited for at the end.
  @Test("A table stays until what reads it is done", arguments: TestDevice.openCL, [true, false])
  func order(device: TestDevice, isGPU: Bool) throws {
    let queue = try Self.queue(device)
    let ring = UploadRing(queue, isGPU: isGPU)
    let sizes = (0..<150).map { $0 * 37 % 101 == 0 ? 0 : $0 * 37 % 101 * ($0 % 7 == 0 ? 4000 : 16) }
    var wanted: [UInt8] = []
    let target = try Buffer(queue.context, byteCount: sizes.reduce(0, +))
    for (n, size) in sizes.enumerated() {
      let bytes = (0..<size).map { UInt8(truncatingIfNeeded: n &* 31 &+ $0) }
      let table =
        n % 2 == 0
        ? try bytes.withUnsafeBytes { try ring.upload($0) }
        : try ring.upload(byteCount: size) { $0.copyBytes(from: bytes) }
      #expect(table.byteCount >= size)
      if size > 0 { try queue.enqueueCopy(from: table, at: 0, to: target, at: wanted.count, byteCount: size) }
      wanted += bytes
    }
    #expect(try queue.read(target, zero: UInt8(0), count: wanted.count) == wanted)
  }

  @Test("Tables for processors, and those that are large, have buffers of their own", arguments: TestDevice.openCL)
  func own(device: TestDevice) throws {
    let queue = try Self.queue(device)
    let kept = UploadRing(queue, isGPU: true)
    #expect(try kept.upload(byteCount: 100) { _ in }.byteCount > 100)
    #expect(try kept.upload(byteCount: 1 << 21) { _ in }.byteCount == 1 << 21)
    #expect(try UploadRing(queue, isGPU: false).upload(byteCount: 100) { _ in }.byteCount == 100)
  }
}
