import OpenCL

/// A tensor in the memory of an engine's device: what one step computes and the next reads, without a trip to the host.
///
/// Dense and row-major, as ``Tensor`` is. Commands on a device tensor are carried out in the order in which they were given;
/// ``tensor()`` waits for them. Where the engine computes on the CPU the memory is the host's, and a command is carried out by
/// the thread that gives it before it goes on: there, threads that share a tensor must take turns.
public final class DeviceTensor: Sendable {
  /// The length of each dimension.
  public let shape: [Int]

  /// How each element is stored.
  public let elementType: ElementType

  /// Where the elements are.
  package let memory: Memory

  package enum Memory: Sendable {
    case host(TensorStorage)
    case device(Buffer, OpenCLExecutor)
  }

  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// The number of bytes the elements take.
  public var byteCount: Int { count * elementType.byteCount }

  /// A tensor in memory that exists; it has at least as many bytes.
  package init(shape: [Int], elementType: ElementType, memory: Memory) {
    self.shape = shape
    self.elementType = elementType
    self.memory = memory
  }

  /// The elements on the host, once everything given to the device before is done.
  ///
  /// - Throws: ``AttentionError/openCL(_:)`` where the device fails, ``AttentionError/outOfMemory(bytes:)``.
  public func tensor() throws -> Tensor {
    let bytes = try Tensor.byteCount(shape: shape, elementType: elementType)
    switch memory {
    case .host(let storage):
      // Not the storage itself: whoever writes to the device tensor next must not change what was returned.
      return try Tensor(shape: shape, elementType: elementType) { target in
        target.copyMemory(from: UnsafeRawBufferPointer(start: storage.base, count: bytes))
      }
    case .device(let buffer, let executor):
      let tensor = try Tensor(zeros: shape, elementType: elementType)
      try executor.read(buffer, into: UnsafeMutableRawBufferPointer(start: tensor.storage.base, count: bytes))
      return tensor
    }
  }

  /// Copies a tensor of the same shape and type here, after everything given to the device before.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for another shape or type, and the device's errors.
  public func write(_ tensor: Tensor) throws {
    guard tensor.shape == shape, tensor.elementType == elementType else {
      throw AttentionError.invalid(
        argument: "tensor", found: "\(tensor.elementType.rawValue) \(tensor.shape)",
        expected: "\(elementType.rawValue) \(shape)")
    }
    try tensor.withUnsafeBytes { bytes in
      switch memory {
      case .host(let storage): storage.bytes.copyMemory(from: bytes)
      case .device(let buffer, let executor):
        try executor.rethrowing { _ = try executor.queue.enqueueWrite(bytes, to: buffer) }
      }
    }
  }

  /// Waits for everything given to the device before.
  package func wait() throws {
    if case .device(_, let executor) = memory { try executor.rethrowing { try executor.queue.finish() } }
  }

  /// The same elements under another shape; the memory is shared.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where the counts differ.
  public func reshaped(_ shape: [Int]) throws -> DeviceTensor {
    guard try Tensor.byteCount(shape: shape, elementType: elementType) == byteCount else {
      throw AttentionError.invalid(argument: "shape", found: "\(shape)", expected: "\(count) elements")
    }
    return DeviceTensor(shape: shape, elementType: elementType, memory: memory)
  }
}

extension AttentionEngine {
  /// Copies a tensor to the engine's device, the first where it has several.
  ///
  /// - Throws: ``AttentionError/openCL(_:)`` where the device has no room for it.
  public func deviceTensor(_ tensor: Tensor) throws -> DeviceTensor {
    switch try roster.home() {
    case .host:
      let copy = try TensorStorage(byteCount: tensor.byteCount)
      tensor.withUnsafeBytes { copy.bytes.copyMemory(from: $0) }
      return DeviceTensor(shape: tensor.shape, elementType: tensor.elementType, memory: .host(copy))
    case .device(let executor):
      let buffer = try executor.buffer(copying: tensor)
      return DeviceTensor(shape: tensor.shape, elementType: tensor.elementType, memory: .device(buffer, executor))
    }
  }

  /// A tensor on the engine's device whose elements are not yet anything.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a shape past the address space,
  ///   ``AttentionError/openCL(_:)`` where the device has no room for it.
  public func deviceTensor(shape: [Int], elementType: ElementType = .float32) throws -> DeviceTensor {
    let bytes = try Tensor.byteCount(shape: shape, elementType: elementType)
    switch try roster.home() {
    case .host:
      return DeviceTensor(shape: shape, elementType: elementType, memory: .host(try TensorStorage(byteCount: bytes)))
    case .device(let executor):
      return DeviceTensor(
        shape: shape, elementType: elementType, memory: .device(try executor.makeBuffer(byteCount: bytes), executor))
    }
  }
}

extension OpenCLExecutor {
  /// The queue whose commands are carried out in order: what is computed of device tensors goes here, under ``withTurn(_:)``.
  package var queue: CommandQueue { queues.compute }

  /// Waits for everything given to the queue before, and copies a buffer's first bytes.
  func read(_ buffer: Buffer, into bytes: UnsafeMutableRawBufferPointer) throws {
    try rethrowing { _ = try queue.enqueueRead(buffer, into: bytes) }
  }

  /// A buffer that holds a copy of a tensor.
  func buffer(copying tensor: Tensor) throws -> Buffer {
    try tensor.withUnsafeBytes { bytes in try rethrowing { try Buffer(context, copying: bytes, access: .readWrite) } }
  }

  /// A buffer that holds a copy of an array.
  func buffer<Element: BitwiseCopyable>(copying elements: [Element]) throws -> Buffer {
    try elements.withUnsafeBytes { bytes in try rethrowing { try Buffer(context, copying: bytes) } }
  }

  package func makeBuffer(byteCount: Int) throws -> Buffer {
    try rethrowing { try Buffer(context, byteCount: byteCount) }
  }

  /// OpenCL's errors as the library's.
  func rethrowing<Result>(_ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as OpenCLError {
      throw AttentionError.openCL(error)
    }
  }
}
