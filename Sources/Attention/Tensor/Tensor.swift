/// An n-dimensional array of numbers, dense and row-major (the last dimension varies fastest).
///
/// A tensor is a value: it never changes after it is made, copies share its memory, and it may cross threads.
public struct Tensor: Sendable {
  /// The length of each dimension; empty for a single number.
  public let shape: [Int]

  /// How each element is stored.
  public let elementType: ElementType

  package let storage: TensorStorage

  /// Makes a tensor whose bytes `fill` writes; bytes that it leaves alone are zero.
  ///
  /// - Parameters:
  ///   - shape: The length of each dimension, none of them negative. A zero makes an empty tensor.
  ///   - elementType: How each element is stored.
  ///   - fill: Called once with `count × elementType.byteCount` bytes, aligned to 64.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a negative length or a size past the address
  ///   space, and whatever `fill` throws.
  public init(
    shape: [Int], elementType: ElementType, fill: (UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    let byteCount = try Self.byteCount(shape: shape, elementType: elementType)
    let storage = try TensorStorage(byteCount: byteCount)
    try fill(UnsafeMutableRawBufferPointer(rebasing: storage.bytes[..<byteCount]))
    self.init(shape: shape, elementType: elementType, storage: storage)
  }

  /// Makes a tensor from float32 values, rounding each to `elementType` (nearest, ties to even).
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where the count of values is not that of the shape,
  ///   or the type is not a floating-point one.
  public init(_ values: [Float], shape: [Int], as elementType: ElementType = .float32) throws {
    try Self.check(count: values.count, shape: shape)
    guard elementType.isFloatingPoint else {
      throw AttentionError.invalid(
        argument: "element type", found: elementType.rawValue,
        expected: "F32, F16, BF16 or F64 for floating-point values")
    }
    try self.init(shape: shape, elementType: elementType) { bytes in
      Self.store(values, to: bytes, as: elementType)
    }
  }

  /// Makes a boolean tensor: one byte an element.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where the count of values is not that of the shape.
  public init(_ values: [Bool], shape: [Int]) throws {
    try Self.check(count: values.count, shape: shape)
    try self.init(shape: shape, elementType: .bool) { bytes in
      for (index, value) in values.enumerated() { bytes[index] = value ? 1 : 0 }
    }
  }

  /// Makes a tensor of integers, as a block table is.
  ///
  /// - Parameters:
  ///   - values: As many as the shape has elements.
  ///   - shape: The length of each dimension.
  ///   - elementType: `int32` or `int64`.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where the count of values is not that of the shape, the
  ///   type is another, or an integer is none of it.
  public init(integers values: [Int], shape: [Int], as elementType: ElementType = .int32) throws {
    try Self.check(count: values.count, shape: shape)
    guard elementType == .int64 || elementType == .int32 else {
      throw AttentionError.invalid(argument: "element type", found: elementType.rawValue, expected: "I32 or I64")
    }
    if elementType == .int32, let wrong = values.first(where: { Int32(exactly: $0) == nil }) {
      throw AttentionError.invalid(argument: "integers", found: "\(wrong)", expected: "integers of 32 bits")
    }
    try self.init(shape: shape, elementType: elementType) { bytes in
      if elementType == .int64 {
        _ = bytes.bindMemory(to: Int64.self).update(fromContentsOf: values.lazy.map(Int64.init))
      } else {
        _ = bytes.bindMemory(to: Int32.self).update(fromContentsOf: values.lazy.map(Int32.init(truncatingIfNeeded:)))
      }
    }
  }

  package init(shape: [Int], elementType: ElementType, storage: TensorStorage) {
    self.shape = shape
    self.elementType = elementType
    self.storage = storage
  }

  /// A tensor of zeros whose storage the caller goes on to write before it hands the tensor on.
  package init(zeros shape: [Int], elementType: ElementType) throws {
    let byteCount = try Self.byteCount(shape: shape, elementType: elementType)
    self.init(shape: shape, elementType: elementType, storage: try TensorStorage(byteCount: byteCount))
  }

  /// The number of elements: the product of the shape, 1 for a single number.
  public var count: Int { shape.reduce(1, *) }

  /// The number of bytes the elements take.
  public var byteCount: Int { count * elementType.byteCount }

  /// Calls `body` with the elements' bytes, in row-major order and the machine's byte order.
  public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try body(UnsafeRawBufferPointer(rebasing: storage.bytes[..<byteCount]))
  }

  /// The same elements under another shape; the memory is shared.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where the counts differ.
  public func reshaped(_ shape: [Int]) throws -> Tensor {
    try Self.check(count: count, shape: shape)
    return Tensor(shape: shape, elementType: elementType, storage: storage)
  }

  /// The bytes that a shape takes, or an error: every size in this package is computed here.
  package static func byteCount(shape: [Int], elementType: ElementType) throws -> Int {
    var total = elementType.byteCount
    for length in shape {
      guard length >= 0 else {
        throw AttentionError.invalid(argument: "shape", found: "\(shape)", expected: "no negative length")
      }
      // A zero does not excuse the other lengths: strides are products of them.
      let (product, overflow) = total.multipliedReportingOverflow(by: max(length, 1))
      guard !overflow else {
        throw AttentionError.invalid(argument: "shape", found: "\(shape)", expected: "a size within the address space")
      }
      total = product
    }
    return shape.contains(0) ? 0 : total
  }

  private static func check(count: Int, shape: [Int]) throws {
    let expected = try byteCount(shape: shape, elementType: .bool)
    guard count == expected else {
      throw AttentionError.invalid(
        argument: "values", found: "\(count) elements", expected: "\(expected) elements for shape \(shape)")
    }
  }
}
