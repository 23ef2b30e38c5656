/// Numbers that look random and are the same on every machine (SplitMix64, Steele et al. 2014).
package struct SeededNumbers: RandomNumberGenerator {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// About normal, mean 0 and variance 1: the sum of four uniform numbers, which is bounded and needs no logarithm.
  package mutating func normal() -> Float {
    let bits = next()
    var sum: Int64 = 0
    for quarter in 0..<4 { sum += Int64((bits >> (16 * UInt64(quarter))) & 0xffff) }
    // Four uniform numbers in 0 ..< 65,536 have mean 131,070 and standard deviation 37,837.
    return Float(sum - 131_070) / 37_837
  }

  /// A tensor of such numbers.
  package mutating func tensor(_ shape: [Int], _ elementType: ElementType = .float32) throws -> Tensor {
    let count = try Tensor.byteCount(shape: shape, elementType: .bool)
    return try Tensor((0..<count).map { _ in normal() }, shape: shape, as: elementType)
  }
}
