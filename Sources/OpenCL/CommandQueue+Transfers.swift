internal import COpenCL

extension CommandQueue {
  /// Copies bytes of the host into a buffer.
  ///
  /// Without `blocking` the host's memory must stay valid and unchanged until the event is complete.
  ///
  /// Edge cases: no bytes is no transfer, but still an event.
  ///
  /// - Parameters:
  ///   - byteOffset: where in the buffer the bytes go.
  ///   - events: what must be complete before; from the same context.
  /// - Throws: `OpenCLError`; `.invalidValue` if the bytes do not fit the buffer.
  @discardableResult
  public func enqueueWrite(
    _ bytes: UnsafeRawBufferPointer, to buffer: Buffer, at byteOffset: Int = 0, blocking: Bool = true,
    waitingFor events: [Event] = []
  ) throws(OpenCLError) -> Event {
    let call = "clEnqueueWriteBuffer"
    try checkContext(buffer.context, call)
    try buffer.checkRange(offset: byteOffset, count: bytes.count, call)
    guard let base = bytes.baseAddress, bytes.count > 0 else {
      return try enqueueNothing(call, blocking: blocking, waitingFor: events)
    }
    var raw: cl_event?
    let status = withWaitList(events) {
      clEnqueueWriteBuffer(
        handle.raw, buffer.handle.raw, blocking ? 1 : 0, byteOffset, bytes.count, base, $0, $1, &raw)
    }
    return try event(raw, status, call, label: call, "\(bytes.count) bytes at offset \(byteOffset)")
  }

  /// Copies bytes of a buffer to the host.
  ///
  /// Without `blocking` the host's memory must stay valid, and holds nothing of use, until the event is complete.
  ///
  /// Edge cases: no bytes is no transfer, but still an event.
  ///
  /// - Parameters:
  ///   - byteOffset: where in the buffer the bytes lie.
  ///   - events: what must be complete before; from the same context.
  /// - Throws: `OpenCLError`; `.invalidValue` if the buffer does not have that many bytes.
  @discardableResult
  public func enqueueRead(
    _ buffer: Buffer, at byteOffset: Int = 0, into bytes: UnsafeMutableRawBufferPointer, blocking: Bool = true,
    waitingFor events: [Event] = []
  ) throws(OpenCLError) -> Event {
    let call = "clEnqueueReadBuffer"
    try checkContext(buffer.context, call)
    try buffer.checkRange(offset: byteOffset, count: bytes.count, call)
    guard let base = bytes.baseAddress, bytes.count > 0 else {
      return try enqueueNothing(call, blocking: blocking, waitingFor: events)
    }
    var raw: cl_event?
    let status = withWaitList(events) {
      clEnqueueReadBuffer(
        handle.raw, buffer.handle.raw, blocking ? 1 : 0, byteOffset, bytes.count, base, $0, $1, &raw)
    }
    return try event(raw, status, call, label: call, "\(bytes.count) bytes at offset \(byteOffset)")
  }

  /// Copies bytes from one buffer to another, or to another place of the same.
  ///
  /// Edge cases: no bytes is no transfer, but still an event.
  ///
  /// - Throws: `OpenCLError`; `.invalidValue` if the range leaves a buffer, `.memCopyOverlap` if the ranges overlap.
  @discardableResult
  public func enqueueCopy(
    from source: Buffer, at sourceOffset: Int = 0, to target: Buffer, at targetOffset: Int = 0, byteCount: Int,
    waitingFor events: [Event] = []
  ) throws(OpenCLError) -> Event {
    let call = "clEnqueueCopyBuffer"
    try checkContext(source.context, call)
    try checkContext(target.context, call)
    try source.checkRange(offset: sourceOffset, count: byteCount, call)
    try target.checkRange(offset: targetOffset, count: byteCount, call)
    let detail = "\(byteCount) bytes from offset \(sourceOffset) to offset \(targetOffset)"
    // The ends do not overflow: both ranges lie within buffers.
    if source === target, sourceOffset < targetOffset + byteCount, targetOffset < sourceOffset + byteCount {
      throw OpenCLError(call: call, status: .memCopyOverlap, device: device.name, detail: detail)
    }
    guard byteCount > 0 else { return try enqueueNothing(call, blocking: false, waitingFor: events) }
    var raw: cl_event?
    let status = withWaitList(events) {
      clEnqueueCopyBuffer(
        handle.raw, source.handle.raw, target.handle.raw, sourceOffset, targetOffset, byteCount, $0, $1, &raw)
    }
    return try event(raw, status, call, label: call, detail)
  }

  /// Fills a range of a buffer with copies of a value.
  ///
  /// Edge cases: no bytes is no command, but still an event.
  ///
  /// - Parameters:
  ///   - value: 1, 2, 4, 8, 16, 32, 64 or 128 bytes, without padding.
  ///   - byteOffset: where the range begins; a multiple of the value's size.
  ///   - byteCount: how long it is, a multiple of the value's size; nil for the rest of the buffer.
  /// - Throws: `OpenCLError`; `.invalidValue` if the range leaves the buffer or is no multiple of the value's size.
  @discardableResult
  public func enqueueFill<T: BitwiseCopyable>(
    _ buffer: Buffer, with value: T, at byteOffset: Int = 0, byteCount: Int? = nil, waitingFor events: [Event] = []
  ) throws(OpenCLError) -> Event {
    let call = "clEnqueueFillBuffer"
    try checkContext(buffer.context, call)
    try buffer.checkRange(offset: byteOffset, count: byteCount ?? 0, call)
    let count = byteCount ?? buffer.byteCount - byteOffset
    let size = MemoryLayout<T>.size
    let detail = "\(count) bytes at offset \(byteOffset) with a value of \(size) bytes"
    guard size > 0, size <= 128, size.nonzeroBitCount == 1, byteOffset % size == 0, count % size == 0 else {
      throw OpenCLError(call: call, status: .invalidValue, device: device.name, detail: detail)
    }
    guard count > 0 else { return try enqueueNothing(call, blocking: false, waitingFor: events) }
    var raw: cl_event?
    let status = withUnsafeBytes(of: value) { pattern in
      withWaitList(events) {
        clEnqueueFillBuffer(
          handle.raw, buffer.handle.raw, pattern.baseAddress, size, byteOffset, count, $0, $1, &raw)
      }
    }
    return try event(raw, status, call, label: call, detail)
  }

  /// What a transfer of no bytes is: OpenCL refuses those, yet callers count on an event and on the order.
  func enqueueNothing(_ call: String, blocking: Bool, waitingFor events: [Event]) throws(OpenCLError) -> Event {
    let marker = try enqueueMarker(label: call, waitingFor: events)
    if blocking { try marker.wait() }
    return marker
  }
}

// MARK: - Arrays

extension CommandQueue {
  /// Copies an array into a buffer and returns when that is done.
  ///
  /// - Throws: `OpenCLError`; `.invalidValue` if the array does not fit the buffer.
  public func write<T: BitwiseCopyable>(
    _ values: [T], to buffer: Buffer, at byteOffset: Int = 0
  ) throws(OpenCLError) {
    // Not withUnsafeBytes, which does not keep the type of what is thrown.
    try values.withUnsafeBufferPointer { values throws(OpenCLError) in
      _ = try enqueueWrite(UnsafeRawBufferPointer(values), to: buffer, at: byteOffset)
    }
  }

  /// The values in a buffer, once everything given to the queue before is complete.
  ///
  /// - Parameters:
  ///   - zero: any value of the type; it is overwritten.
  ///   - count: how many values.
  /// - Throws: `OpenCLError`; `.invalidValue` if the buffer does not have that many.
  public func read<T: BitwiseCopyable>(
    _ buffer: Buffer, at byteOffset: Int = 0, zero: T, count: Int
  ) throws(OpenCLError) -> [T] {
    let call = "clEnqueueReadBuffer"
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<T>.stride)
    // Checked before the array is made: its size may be nonsense.
    try buffer.checkRange(offset: byteOffset, count: overflow ? Int.max : byteCount, call)
    var values = [T](repeating: zero, count: count)
    try values.withUnsafeMutableBufferPointer { values throws(OpenCLError) in
      _ = try enqueueRead(buffer, at: byteOffset, into: UnsafeMutableRawBufferPointer(values))
    }
    return values
  }
}
