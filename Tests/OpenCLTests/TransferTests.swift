import OpenCL
import Testing

extension OnDevices {
  @Suite("Transfers")
  struct TransferTests {
    @Test("bytes go to an offset and come back", arguments: devices)
    func offsets(device: Device) throws {
      let queue = try CommandQueue(Context(device))
      let buffer = try Buffer(queue.context, byteCount: 16)
      try queue.enqueueFill(buffer, with: UInt8(9))
      try queue.write([1, 2, 3] as [UInt16], to: buffer, at: 4)
      #expect(
        try queue.read(buffer, zero: UInt8(0), count: 16) == [9, 9, 9, 9, 1, 0, 2, 0, 3, 0, 9, 9, 9, 9, 9, 9])
      #expect(try queue.read(buffer, at: 6, zero: UInt16(0), count: 2) == [2, 3])
    }

    @Test("without blocking, the event tells when", arguments: devices)
    func nonBlocking(device: Device) throws {
      let queue = try CommandQueue(Context(device), profiling: true)
      let count = 1 << 16
      let source = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
      let target = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
      defer {
        source.deallocate()
        target.deallocate()
      }
      for i in 0..<count { source[i] = UInt8(truncatingIfNeeded: i &* 7) }
      let buffer = try Buffer(queue.context, byteCount: count)
      let write = try queue.enqueueWrite(UnsafeRawBufferPointer(source), to: buffer, blocking: false)
      let read = try queue.enqueueRead(buffer, into: target, blocking: false, waitingFor: [write])
      try read.wait()
      #expect(try read.isComplete && write.isComplete)
      #expect(target.elementsEqual(source))
      let times = try read.times()
      #expect(times.queued <= times.started && times.started <= times.ended)
      #expect(try times.queued >= write.times().queued)
    }

    @Test("rows go to another pitch and come back", arguments: devices)
    func rects(device: Device) throws {
      let queue = try CommandQueue(Context(device))
      let buffer = try Buffer(queue.context, byteCount: 64)
      try queue.enqueueFill(buffer, with: UInt8(0xEE))
      let host = (0..<40).map { UInt8($0) }
      // Three rows of 4 bytes, 10 apart from 5 on in the host; 16 apart from 18 on in the buffer.
      let rect = TransferRect(
        widthBytes: 4, rows: 3, hostOffset: 5, hostRowPitch: 10, bufferOffset: 18, bufferRowPitch: 16)
      try host.withUnsafeBytes { _ = try queue.enqueueWrite(rect, from: $0, to: buffer) }
      var expected = [UInt8](repeating: 0xEE, count: 64)
      for row in 0..<3 { for x in 0..<4 { expected[18 + row * 16 + x] = host[5 + row * 10 + x] } }
      #expect(try queue.read(buffer, zero: UInt8(0), count: 64) == expected)

      var back = [UInt8](repeating: 0x55, count: 40)
      try back.withUnsafeMutableBytes { _ = try queue.enqueueRead(rect, of: buffer, into: $0) }
      for (i, byte) in back.enumerated() {
        let inside = i >= 5 && (i - 5) / 10 < 3 && (i - 5) % 10 < 4
        #expect(byte == (inside ? host[i] : 0x55), "byte \(i)")
      }
    }

    @Test("rows that end with the buffer, wrap its pitch, or follow one another", arguments: devices)
    func rectEdges(device: Device) throws {
      let queue = try CommandQueue(Context(device))
      let host = (1...64).map { UInt8($0) }
      for rect in [
        // The last row lacks the rest of its pitch on both sides.
        TransferRect(widthBytes: 4, rows: 4, hostOffset: 3, hostRowPitch: 19, bufferOffset: 12, bufferRowPitch: 16),
        // A row begins so late in the pitch that it reaches into the next.
        TransferRect(widthBytes: 6, rows: 3, hostRowPitch: 8, bufferOffset: 6, bufferRowPitch: 8),
        TransferRect(widthBytes: 8, rows: 8),
        TransferRect(widthBytes: 8, rows: 1, hostOffset: 56, hostRowPitch: 100, bufferOffset: 56, bufferRowPitch: 9),
      ] {
        let buffer = try Buffer(queue.context, byteCount: 64)
        try queue.enqueueFill(buffer, with: UInt8(0))
        try host.withUnsafeBytes { _ = try queue.enqueueWrite(rect, from: $0, to: buffer) }
        var expected = [UInt8](repeating: 0, count: 64)
        for row in 0..<rect.rows {
          for x in 0..<rect.widthBytes {
            expected[rect.bufferOffset + row * rect.bufferRowPitch + x] =
              host[rect.hostOffset + row * rect.hostRowPitch + x]
          }
        }
        #expect(try queue.read(buffer, zero: UInt8(0), count: 64) == expected, "\(rect)")
        var back = [UInt8](repeating: 0, count: 64)
        try back.withUnsafeMutableBytes { _ = try queue.enqueueRead(rect, of: buffer, into: $0) }
        for row in 0..<rect.rows {
          let start = rect.hostOffset + row * rect.hostRowPitch
          #expect(back[start..<start + rect.widthBytes] == host[start..<start + rect.widthBytes], "\(rect)")
        }
      }
    }

    @Test("a transfer beyond the buffer is a typed error", arguments: devices)
    func outOfRange(device: Device) throws {
      let queue = try CommandQueue(Context(device))
      let buffer = try Buffer(queue.context, byteCount: 8)
      let bytes = [UInt8](repeating: 0, count: 8)
      let write = error { try queue.write(bytes, to: buffer, at: 1) }
      #expect(
        write
          == OpenCLError(
            call: "clEnqueueWriteBuffer", status: .invalidValue, device: device.name,
            detail: "8 bytes at offset 1 of a buffer of 8 bytes"))
      for (offset, count) in [(0, 9), (8, 1), (-1, 1), (.max, 1), (0, .max), (0, -1)] {
        #expect(
          error { _ = try queue.read(buffer, at: offset, zero: UInt8(0), count: count) }?.status == .invalidValue,
          "\(count) at \(offset)")
      }
      #expect(error { _ = try queue.read(buffer, zero: Int64(0), count: .max) }?.status == .invalidValue)
      #expect(error { try queue.enqueueFill(buffer, with: UInt32(0), byteCount: 12) }?.status == .invalidValue)
      #expect(error { try queue.enqueueFill(buffer, with: UInt32(0), at: 2, byteCount: 4) }?.status == .invalidValue)
      let rect = TransferRect(widthBytes: 2, rows: 2, bufferRowPitch: 7)
      let rectError = error { _ = try bytes.withUnsafeBytes { try queue.enqueueWrite(rect, from: $0, to: buffer) } }
      #expect(rectError?.status == .invalidValue)
      #expect(rectError?.call == "clEnqueueWriteBufferRect")
    }

    @Test("copies within and between buffers", arguments: devices)
    func copies(device: Device) throws {
      let queue = try CommandQueue(Context(device))
      let bytes = (0..<8).map { UInt8($0) }
      let a = try bytes.withUnsafeBytes { try Buffer(queue.context, copying: $0) }
      let b = try Buffer(queue.context, byteCount: 8)
      try queue.enqueueCopy(from: a, to: b, byteCount: 8)
      try queue.enqueueCopy(from: b, at: 0, to: b, at: 5, byteCount: 3)
      #expect(try queue.read(b, zero: UInt8(0), count: 8) == [0, 1, 2, 3, 4, 0, 1, 2])
      #expect(
        error { try queue.enqueueCopy(from: b, at: 0, to: b, at: 2, byteCount: 3) }?.status == .memCopyOverlap)
      #expect(error { try queue.enqueueCopy(from: a, at: 6, to: b, byteCount: 3) }?.status == .invalidValue)
    }

    @Test("nothing is a valid amount", arguments: devices)
    func empty(device: Device) throws {
      let queue = try CommandQueue(Context(device))
      let buffer = try Buffer(queue.context, byteCount: 0)
      #expect(buffer.byteCount == 0)
      try queue.write([] as [Float], to: buffer)
      #expect(try queue.read(buffer, zero: Float(0), count: 0).isEmpty)
      try queue.enqueueFill(buffer, with: Float(0)).wait()
      try queue.enqueueCopy(from: buffer, to: buffer, byteCount: 0).wait()
      let rect = TransferRect(widthBytes: 0, rows: 3)
      try queue.enqueueRead(rect, of: buffer, into: UnsafeMutableRawBufferPointer(start: nil, count: 0)).wait()
      #expect(error { try queue.write([1] as [UInt8], to: buffer) }?.status == .invalidValue)
      _ = try Buffer(queue.context, copying: UnsafeRawBufferPointer(start: nil, count: 0))
    }

    @Test("a buffer works on the host's memory", arguments: devices)
    func hostMemory(device: Device) throws {
      final class Storage {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
        deinit { bytes.deallocate() }
      }
      let queue = try CommandQueue(Context(device))
      let storage = Storage()
      for i in 0..<4096 { storage.bytes[i] = UInt8(truncatingIfNeeded: i) }
      let buffer = try Buffer(queue.context, using: storage.bytes, owner: storage)
      let found = try queue.read(buffer, at: 1000, zero: UInt8(0), count: 100)
      #expect(found == (1000..<1100).map { UInt8(truncatingIfNeeded: $0) })
    }

    @Test("a buffer that cannot be is short memory", arguments: devices)
    func tooLarge(device: Device) throws {
      let context = try Context(device)
      #expect(error { _ = try Buffer(context, byteCount: .max) }?.isOutOfMemory == true)
      #expect(error { _ = try Buffer(context, byteCount: -1) }?.status == .invalidBufferSize)
    }

    @Test("objects of another context are refused", arguments: devices)
    func otherContext(device: Device) throws {
      let queue = try CommandQueue(Context(device))
      let buffer = try Buffer(Context(device), byteCount: 4)
      #expect(error { try queue.write([1] as [UInt8], to: buffer) }?.status == .invalidContext)
    }

    @Test("markers and barriers complete, times need profiling", arguments: devices)
    func synchronization(device: Device) throws {
      let queue = try CommandQueue(Context(device))
      let first = try queue.enqueueMarker()
      let second = try queue.enqueueBarrier(waitingFor: [first])
      try queue.flush()
      try Event.wait(for: [first, second])
      try Event.wait(for: [])
      try queue.finish()
      #expect(try second.isComplete)
      #expect(error { _ = try first.times() }?.status == .profilingInfoNotAvailable)
    }
  }
}

@Suite("Rectangles")
struct TransferRectTests {
  @Test("that cannot be have no end")
  func impossible() {
    for rect in [
      TransferRect(widthBytes: -1, rows: 1), TransferRect(widthBytes: 1, rows: -1),
      TransferRect(widthBytes: 4, rows: 2, hostRowPitch: 3), TransferRect(widthBytes: 4, rows: 2, hostOffset: -1),
      TransferRect(widthBytes: 4, rows: .max, hostRowPitch: .max),
      TransferRect(widthBytes: 4, rows: 2, hostOffset: .max, hostRowPitch: 4),
    ] {
      #expect(rect.hostEnd == nil, "\(rect)")
    }
  }

  @Test("end with their last row")
  func ends() {
    let rect = TransferRect(widthBytes: 4, rows: 3, hostOffset: 5, hostRowPitch: 10, bufferRowPitch: 16)
    #expect(rect.hostEnd == 29)
    #expect(rect.bufferEnd == 36)
    #expect(TransferRect(widthBytes: 0, rows: 3, hostOffset: 7).hostEnd == 7)
  }
}
