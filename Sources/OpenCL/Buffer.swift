internal import COpenCL

/// Memory of a device that kernels read and write.
///
/// Sendable without being checked: the object is only a name for the memory, OpenCL's functions on it may be called
/// from any thread, and the order of what is done with the memory is the queues' and events' affair.
public final class Buffer: @unchecked Sendable {
  /// What kernels may do with the buffer. Transfers from and to the host are not concerned.
  public enum Access: Sendable, Hashable, CaseIterable {
    /// Kernels only read.
    case readOnly
    /// Kernels only write.
    case writeOnly
    /// Kernels read and write.
    case readWrite
  }

  /// The context the memory belongs to.
  public let context: Context

  /// The size that was asked for, in bytes. Transfers stay within it.
  public let byteCount: Int

  /// What kernels may do with it.
  public let access: Access

  let handle: Handle<HandleKind.Memory>

  /// OpenCL has no empty buffers. A request of zero bytes gets this many, which nothing ever transfers.
  private static let smallestAllocation = 16

  /// Allocates a buffer. Its contents are not defined.
  ///
  /// Edge cases: a request of zero bytes succeeds, and takes a few bytes. Some drivers allocate only at the first use,
  /// which then may fail in turn.
  ///
  /// - Throws: `OpenCLError`; `isOutOfMemory` if the device has no room or the size is above `maxAllocation`.
  public convenience init(
    _ context: Context, byteCount: Int, access: Access = .readWrite
  ) throws(OpenCLError) {
    try self.init(context, byteCount: byteCount, access: access, flags: 0, pointer: nil, owner: nil)
  }

  /// Allocates a buffer and fills it with a copy of `bytes`.
  ///
  /// - Throws: `OpenCLError`; `isOutOfMemory` if the device has no room or the size is above `maxAllocation`.
  public convenience init(
    _ context: Context, copying bytes: UnsafeRawBufferPointer, access: Access = .readOnly
  ) throws(OpenCLError) {
    // The flag asks for a pointer that OpenCL only reads, although its type says otherwise.
    try self.init(
      context, byteCount: bytes.count, access: access, flags: cl_mem_flags(CL_MEM_COPY_HOST_PTR),
      pointer: UnsafeMutableRawPointer(mutating: bytes.baseAddress), owner: nil)
  }

  /// Makes a buffer of memory of the host. A device that shares the host's memory works on it in place; another copies
  /// it over when it sees fit.
  ///
  /// The memory must stay valid and must not be touched by the host as long as the buffer lives, except between
  /// a finished read or write through a queue and the next command. `owner` is kept alive as long as OpenCL may use the memory:
  /// until the buffer is gone and every command that was given it is done.
  ///
  /// - Throws: `OpenCLError`; `isOutOfMemory` if the device has no room or the size is above `maxAllocation`.
  public convenience init(
    _ context: Context, using memory: UnsafeMutableRawBufferPointer, owner: AnyObject?, access: Access = .readWrite
  ) throws(OpenCLError) {
    try self.init(
      context, byteCount: memory.count, access: access, flags: cl_mem_flags(CL_MEM_USE_HOST_PTR),
      pointer: memory.baseAddress, owner: owner)
  }

  private init(
    _ context: Context, byteCount: Int, access: Access, flags: cl_mem_flags, pointer: UnsafeMutableRawPointer?,
    owner: AnyObject?
  ) throws(OpenCLError) {
    let call = "clCreateBuffer"
    // (A driver may take a size that it can never provide, and fail at the first use.)
    guard byteCount >= 0, byteCount <= context.device.info.maxAllocation else {
      throw OpenCLError(
        call: call, status: .invalidBufferSize, device: context.device.name, detail: "\(byteCount) bytes")
    }
    // Without bytes there is nothing to copy or use, and the room that is allocated instead lies elsewhere.
    let fromHost = byteCount > 0 && pointer != nil
    var status: cl_int = 0
    let raw = clCreateBuffer(
      context.handle.raw, access.flags | (fromHost ? flags : 0), byteCount == 0 ? Self.smallestAllocation : byteCount,
      fromHost ? pointer : nil, &status)
    self.context = context
    self.byteCount = byteCount
    self.access = access
    self.handle = Handle(raw: try created(raw, status, call, device: context.device, "\(byteCount) bytes"))
    if fromHost, let owner { try keep(owner) }
  }

  /// Commands outlive the buffer that they were given, and so must what they read and write.
  private func keep(_ owner: AnyObject) throws(OpenCLError) {
    let kept = Unmanaged.passRetained(owner)
    let status = clSetMemObjectDestructorCallback(
      handle.raw, { _, kept in kept.map { Unmanaged<AnyObject>.fromOpaque($0).release() } }, kept.toOpaque())
    guard status != CL_SUCCESS else { return }
    kept.release()
    throw OpenCLError(
      call: "clSetMemObjectDestructorCallback", status: OpenCLStatus(rawValue: status), device: context.device.name)
  }

  deinit {
    clReleaseMemObject(handle.raw)
  }

  /// Throws if a transfer leaves the buffer.
  func checkRange(offset: Int, count: Int, _ call: String) throws(OpenCLError) {
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard offset >= 0, count >= 0, !overflow, end <= byteCount else {
      throw OpenCLError(
        call: call, status: .invalidValue, device: context.device.name,
        detail: "\(count) bytes at offset \(offset) of a buffer of \(byteCount) bytes")
    }
  }
}

extension Buffer.Access {
  /// OpenCL's flag.
  fileprivate var flags: cl_mem_flags {
    switch self {
    case .readOnly: cl_mem_flags(CL_MEM_READ_ONLY)
    case .writeOnly: cl_mem_flags(CL_MEM_WRITE_ONLY)
    case .readWrite: cl_mem_flags(CL_MEM_READ_WRITE)
    }
  }
}
