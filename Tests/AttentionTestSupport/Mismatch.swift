import Attention

/// How far a number may be from what is expected.
package struct Bound: Sendable {
  private let absolute: Double
  private let growsWithMagnitude: Bool

  /// - Parameter growsWithMagnitude: Whether the bound is relative for numbers whose magnitude is above 1.
  package init(_ absolute: Double, growsWithMagnitude: Bool = false) {
    self.absolute = absolute
    self.growsWithMagnitude = growsWithMagnitude
  }

  package func callAsFunction(about expected: Double) -> Double {
    growsWithMagnitude && expected.isFinite ? absolute * max(1, abs(expected)) : absolute
  }
}

/// What is wrong with a tensor, in one line; nil where every element is within the bound. NaN must meet NaN, and an
/// infinity the same infinity.
package func mismatch(_ name: String, _ found: Tensor?, _ expected: Tensor?, _ bound: Bound) -> String? {
  guard let expected else { return "\(name): nothing to compare with" }
  guard let found else { return "\(name): not returned" }
  guard found.shape == expected.shape else {
    return "\(name): shape \(found.shape), expected \(expected.shape)"
  }
  return mismatch(name, found.doubles(), expected.doubles(), shape: found.shape, bound)
}

/// As for tensors, of numbers in row-major order.
package func mismatch(
  _ name: String, _ found: [Double], _ expected: [Double], shape: [Int], _ bound: Bound
) -> String? {
  guard found.count == expected.count else {
    return "\(name): \(found.count) elements, expected \(expected.count)"
  }
  let failures = found.indices.filter { !agree(found[$0], expected[$0], within: bound(about: expected[$0])) }
  guard let first = failures.first else { return nil }
  return "\(name)\(position(of: first, in: shape)) is \(found[first]), expected \(expected[first]) ± "
    + "\(bound(about: expected[first])) (\(failures.count) of \(found.count) elements are off)"
}

private func agree(_ found: Double, _ expected: Double, within bound: Double) -> Bool {
  if expected.isNaN { return found.isNaN }
  return found == expected || abs(found - expected) <= bound
}

private func position(of element: Int, in shape: [Int]) -> [Int] {
  var rest = element
  var index = shape
  for dimension in shape.indices.reversed() {
    (rest, index[dimension]) = rest.quotientAndRemainder(dividingBy: max(1, shape[dimension]))
  }
  return index
}

extension AttentionResult {
  /// The names of the results whose bits are not the same.
  package func differences(from other: AttentionResult) -> [String] {
    [
      ("output", output, other.output), ("log-sum-exp", logSumExp, other.logSumExp),
      ("weights", weights, other.weights),
      ("scores", scores, other.scores), ("top keys", topKeys, other.topKeys),
      ("top weights", topWeights, other.topWeights), ("received", received, other.received),
    ].compactMap { name, left, right in left?.bits == right?.bits ? nil : name }
  }
}

extension Tensor {
  /// The elements as they are stored.
  package var bits: [UInt8] { withUnsafeBytes { Array($0) } }
}
