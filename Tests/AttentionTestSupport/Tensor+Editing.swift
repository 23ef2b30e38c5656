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
}

extension [Int] {
  /// Where the element of this index stands in row-major order.
  fileprivate func flattened(in shape: [Int]) -> Int {
    zip(self, shape).reduce(0) { $0 * $1.1 + $1.0 }
  }
}
