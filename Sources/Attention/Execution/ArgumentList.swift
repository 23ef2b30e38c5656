import OpenCL

/// What a kernel can be given.
protocol KernelArgument {
  func set(on kernel: Kernel, at index: Int) throws
}

extension Buffer: KernelArgument {
  func set(on kernel: Kernel, at index: Int) throws { try kernel.setArgument(index, self) }
}
extension Int32: KernelArgument {
  func set(on kernel: Kernel, at index: Int) throws { try kernel.setArgument(index, self) }
}
extension Int64: KernelArgument {
  func set(on kernel: Kernel, at index: Int) throws { try kernel.setArgument(index, self) }
}
extension Float: KernelArgument {
  func set(on kernel: Kernel, at index: Int) throws { try kernel.setArgument(index, self) }
}

/// An `int`: 1 or 0.
extension Bool: KernelArgument {
  func set(on kernel: Kernel, at index: Int) throws { try kernel.setArgument(index, Int32(self ? 1 : 0)) }
}

/// Sets a kernel's arguments in order.
struct ArgumentList {
  private let kernel: Kernel
  private var count = 0

  init(_ kernel: Kernel) { self.kernel = kernel }

  /// (A pack, for an array of them would be made and dropped at each launch.)
  mutating func add<each Argument: KernelArgument>(_ arguments: repeat each Argument) throws {
    for argument in repeat each arguments { try argument.set(on: kernel, at: next()) }
  }

  mutating func add(_ values: [Int32]) throws {
    for value in values { try add(value) }
  }

  /// So many buffers, of which the last may be none: a driver takes time over each that there is.
  mutating func add(_ buffers: [Buffer], of count: Int) throws {
    for index in 0..<count { try kernel.setArgument(next(), index < buffers.count ? buffers[index] : nil) }
  }

  mutating func addLocal(byteCount: Int) throws { try kernel.setLocalArgument(next(), byteCount: byteCount) }

  /// The mask's kind and its strides.
  mutating func add(_ mask: MaskLayout?) throws {
    try add(mask?.elementType.maskKind ?? 0)
    try add(Int64(mask?.queryStride ?? 0), Int64(mask?.keyStride ?? 0))
  }

  /// The rows and keys of a block of the block mask, and the blocks of a row; 0 where there is none.
  mutating func add(_ blocks: BlockMaskLayout?) throws {
    try add(Int32(blocks?.queryBlock ?? 0), Int32(blocks?.keyBlock ?? 0), Int32(blocks?.columns ?? 0))
  }

  private mutating func next() -> Int {
    defer { count += 1 }
    return count
  }
}

extension CommandQueue {
  /// Starts a kernel with all work-groups along one dimension: the others are limited to 65,535 on some devices.
  @discardableResult
  func enqueue(_ kernel: Kernel, groups: [Int], items: Int, waitingFor events: [Event] = []) throws -> Event {
    try enqueueKernel(kernel, global: [groups.reduce(items, *)], local: [items], waitingFor: events)
  }
}

extension CommandQueue {
  /// Starts to write records to a buffer; what is returned must live until that is done.
  func enqueueWrite<Record: BitwiseCopyable>(_ records: [Record], to buffer: Buffer) throws -> TensorStorage {
    let table = try TensorStorage(byteCount: records.count * MemoryLayout<Record>.stride)
    records.withUnsafeBytes { table.bytes.copyMemory(from: $0) }
    let bytes = UnsafeRawBufferPointer(start: table.base, count: records.count * MemoryLayout<Record>.stride)
    try enqueueWrite(bytes, to: buffer, blocking: false)
    return table
  }
}
