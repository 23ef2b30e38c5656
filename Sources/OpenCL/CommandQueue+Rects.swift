internal import COpenCL

extension CommandQueue {
  /// Copies rows of host memory into a buffer, at another pitch.
  ///
  /// Without `blocking` the host's memory must stay valid and unchanged until the event is complete.
  ///
  /// Edge cases: an empty rectangle is no transfer, but still an event.
  ///
  /// - Throws: `OpenCLError`; `.invalidValue` if the rectangle leaves the host's bytes or the buffer.
  @discardableResult
  public func enqueueWrite(
    _ rect: TransferRect, from bytes: UnsafeRawBufferPointer, to buffer: Buffer, blocking: Bool = true,
    waitingFor events: [Event] = []
  ) throws(OpenCLError) -> Event {
    let call = "clEnqueueWriteBufferRect"
    try checkRect(rect, hostBytes: bytes.count, buffer, call)
    guard !rect.isEmpty, let base = bytes.baseAddress else {
      return try enqueueNothing(call, blocking: blocking, waitingFor: events)
    }
    if rect.isContiguous {
      let part = UnsafeRawBufferPointer(start: base + rect.hostOffset, count: rect.widthBytes * rect.rows)
      return try enqueueWrite(part, to: buffer, at: rect.bufferOffset, blocking: blocking, waitingFor: events)
    }
    let shape = RectArguments(rect)
    var raw: cl_event?
    let status = withWaitList(events) {
      clEnqueueWriteBufferRect(
        handle.raw, buffer.handle.raw, blocking ? 1 : 0, shape.bufferOrigin, shape.hostOrigin, shape.region,
        rect.bufferRowPitch, 0, rect.hostRowPitch, 0, base + rect.hostOffset, $0, $1, &raw)
    }
    return try event(raw, status, call, label: call, "\(rect)")
  }

  /// Copies rows of a buffer into host memory, at another pitch. What lies between the rows is not touched.
  ///
  /// Without `blocking` the host's memory must stay valid, and holds nothing of use, until the event is complete.
  ///
  /// Edge cases: an empty rectangle is no transfer, but still an event.
  ///
  /// - Throws: `OpenCLError`; `.invalidValue` if the rectangle leaves the host's bytes or the buffer.
  @discardableResult
  public func enqueueRead(
    _ rect: TransferRect, of buffer: Buffer, into bytes: UnsafeMutableRawBufferPointer, blocking: Bool = true,
    waitingFor events: [Event] = []
  ) throws(OpenCLError) -> Event {
    let call = "clEnqueueReadBufferRect"
    try checkRect(rect, hostBytes: bytes.count, buffer, call)
    guard !rect.isEmpty, let base = bytes.baseAddress else {
      return try enqueueNothing(call, blocking: blocking, waitingFor: events)
    }
    if rect.isContiguous {
      let part = UnsafeMutableRawBufferPointer(start: base + rect.hostOffset, count: rect.widthBytes * rect.rows)
      return try enqueueRead(buffer, at: rect.bufferOffset, into: part, blocking: blocking, waitingFor: events)
    }
    let shape = RectArguments(rect)
    var raw: cl_event?
    let status = withWaitList(events) {
      clEnqueueReadBufferRect(
        handle.raw, buffer.handle.raw, blocking ? 1 : 0, shape.bufferOrigin, shape.hostOrigin, shape.region,
        rect.bufferRowPitch, 0, rect.hostRowPitch, 0, base + rect.hostOffset, $0, $1, &raw)
    }
    return try event(raw, status, call, label: call, "\(rect)")
  }

  private func checkRect(
    _ rect: TransferRect, hostBytes: Int, _ buffer: Buffer, _ call: String
  ) throws(OpenCLError) {
    try checkContext(buffer.context, call)
    guard let hostEnd = rect.hostEnd, let bufferEnd = rect.bufferEnd, hostEnd <= hostBytes,
      bufferEnd <= buffer.byteCount
    else {
      throw OpenCLError(
        call: call, status: .invalidValue, device: device.name,
        detail: "\(rect) do not fit \(hostBytes) bytes of the host and \(buffer.byteCount) of the buffer")
    }
  }
}

/// A rectangle as the `…Rect` functions take it.
private struct RectArguments {
  let bufferOrigin: [Int]
  /// Zero: the host's offset is added to its address instead.
  let hostOrigin = [0, 0, 0]
  let region: [Int]

  init(_ rect: TransferRect) {
    // As column and row, not as one long column: some drivers want the column within the pitch.
    bufferOrigin = [rect.bufferOffset % rect.bufferRowPitch, rect.bufferOffset / rect.bufferRowPitch, 0]
    region = [rect.widthBytes, rect.rows, 1]
  }
}
