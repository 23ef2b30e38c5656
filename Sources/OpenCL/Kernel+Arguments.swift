internal import COpenCL

extension Kernel {
  /// Sets a buffer, which the kernel keeps alive until the argument is set anew.
  ///
  /// - Throws: `OpenCLError` naming the kernel and the argument: `.invalidArgIndex` if there is none at the index,
  ///   `.invalidContext` if the buffer belongs to another context, and what the driver answers.
  public func setArgument(_ index: Int, _ buffer: Buffer) throws(OpenCLError) {
    guard buffer.context === program.context else {
      throw argumentError(.invalidContext, index, "a buffer of another context, on \(buffer.context.device)")
    }
    var raw: cl_mem? = buffer.handle.raw
    try set(index, MemoryLayout<cl_mem?>.size, &raw, "a buffer of \(buffer.byteCount) bytes")
    buffers[index] = buffer
  }

  /// Sets a buffer or the null pointer, for an argument the kernel does not use.
  ///
  /// - Throws: as for a buffer.
  public func setArgument(_ index: Int, _ buffer: Buffer?) throws(OpenCLError) {
    guard let buffer else {
      // A pointer to a null handle and not a null pointer: some drivers take only the former.
      var raw: cl_mem?
      try set(index, MemoryLayout<cl_mem?>.size, &raw, "no buffer")
      buffers[index] = nil
      return
    }
    try setArgument(index, buffer)
  }

  /// Sets an `int`.
  ///
  /// - Throws: `OpenCLError` naming the kernel and the argument; `.invalidArgIndex` if there is none at the index,
  ///   `.invalidArgSize` if it has another type.
  public func setArgument(_ index: Int, _ value: Int32) throws(OpenCLError) {
    try setValue(index, value)
  }

  /// Sets a `uint`.
  ///
  /// - Throws: as for an `int`.
  public func setArgument(_ index: Int, _ value: UInt32) throws(OpenCLError) {
    try setValue(index, value)
  }

  /// Sets a `long`.
  ///
  /// - Throws: as for an `int`.
  public func setArgument(_ index: Int, _ value: Int64) throws(OpenCLError) {
    try setValue(index, value)
  }

  /// Sets a `float`.
  ///
  /// - Throws: as for an `int`.
  public func setArgument(_ index: Int, _ value: Float) throws(OpenCLError) {
    try setValue(index, value)
  }

  /// Gives a `__local` pointer its memory.
  ///
  /// - Parameter byteCount: above zero, and together with the kernel's other local memory at most the device's.
  /// - Throws: `OpenCLError` naming the kernel and the argument: `.invalidArgIndex`, `.invalidArgSize` if there is
  ///   more local memory than the device has or none.
  public func setLocalArgument(_ index: Int, byteCount: Int) throws(OpenCLError) {
    let memory = program.context.device.info.localMemory
    guard byteCount > 0, byteCount <= memory else {
      throw argumentError(.invalidArgSize, index, "\(byteCount) bytes of local memory of \(memory)")
    }
    try set(index, byteCount, nil, "\(byteCount) bytes of local memory")
    buffers[index] = nil
  }

  private func setValue<T: BitwiseCopyable>(_ index: Int, _ value: T) throws(OpenCLError) {
    var value = value
    try set(index, MemoryLayout<T>.size, &value, "\(T.self) \(value)")
    buffers[index] = nil
  }

  private func set(
    _ index: Int, _ size: Int, _ value: UnsafeRawPointer?, _ what: @autoclosure () -> String
  ) throws(OpenCLError) {
    guard index >= 0, index < argumentCount else { throw argumentError(.invalidArgIndex, index, what()) }
    let status = OpenCLStatus(rawValue: clSetKernelArg(handle.raw, cl_uint(index), size, value))
    guard status.isSuccess else { throw argumentError(status, index, what()) }
  }

  private func argumentError(_ status: OpenCLStatus, _ index: Int, _ what: String) -> OpenCLError {
    OpenCLError(
      call: "clSetKernelArg", status: status, device: program.context.device.name,
      detail: "kernel \(name), argument \(index) of \(argumentCount): \(what)")
  }
}
