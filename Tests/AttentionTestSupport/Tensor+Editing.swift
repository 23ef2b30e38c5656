import Attention

extension Tensor {
  /// The same tensor with one element, of floating-point type, replaced.
  package func replacing(_ index: [Int], with value: Float) throws -> Tensor {
    var elements = floats()
    elements[index.flattened(in: shape)] = value
    return try Tensor(elements, shape: shape, as: elementType)
  }

  /// One element.
  package func element(_ index: Int...) -> Float { floats()[index.flattened(in: shape)] }

  /// Integers, as lengths and block tables are stored.
  package init(integers: [Int], shape: [Int], as elementType: ElementType = .int32) throws {
    try self.init(shape: shape, elementType: elementType) { bytes in
      for (index, value) in integers.enumerated() {
        if elementType == .int64 {
          bytes.storeBytes(of: Int64(value), toByteOffset: 8 * index, as: Int64.self)
        } else {
          bytes.storeBytes(of: Int32(value), toByteOffset: 4 * index, as: Int32.self)
        }
      }
    }
  }
}

extension [Int] {
  /// Where the element of this index stands in row-major order.
  fileprivate func flattened(in shape: [Int]) -> Int {
    zip(self, shape).reduce(0) { $0 * $1.1 + $1.0 }
  }
}
