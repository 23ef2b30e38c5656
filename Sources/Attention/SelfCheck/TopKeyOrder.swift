/// Whether two lists of most attended keys agree. Weights that are as near to each other as the bound on their error may
/// have changed places, and then either key is right.
package enum TopKeyOrder {
  /// The first place where the keys differ and must not; all arrays are lists of `count` keys or weights, one after the
  /// other, and −1 stands where there is no key.
  ///
  /// - Parameters:
  ///   - weights: Those of the lists expected.
  ///   - bound: What the error of a weight may come to.
  package static func firstDifference(
    _ found: [Int], _ expected: [Int], weights: [Double], count: Int, bound: Double
  ) -> Int? {
    /// Whether rounding cannot exchange the weights at a place and the one after it. After the last of a full list there
    /// may be any weight.
    func areApart(_ place: Int) -> Bool {
      let isLast = (place + 1) % count == 0
      return !isLast && (expected[place + 1] < 0 || weights[place] - weights[place + 1] > 2 * bound)
    }
    return expected.indices.first { place in
      guard found[place] != expected[place] else { return false }
      if found[place] < 0 || expected[place] < 0 { return true }
      return areApart(place) && (place % count == 0 || areApart(place - 1))
    }
  }
}
