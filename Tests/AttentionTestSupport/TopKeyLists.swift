import Attention

/// The lists of most attended keys, held to what follows from the whole matrix of weights.
package enum TopKeyLists {
  /// What is wrong with the lists of a result, in one line; their weights as such are compared elsewhere.
  ///
  /// - Parameter expected: Everything, from the reference, computed for the same `k`.
  package static func faults(of result: AttentionResult, expected: AttentionResult) -> [String] {
    guard let keys = result.topKeys, let listed = result.topWeights, let weights = expected.weights?.floats(),
      let shape = expected.topKeys?.shape
    else { return ["top keys: not returned"] }
    guard keys.shape == shape, keys.elementType == .int32, listed.shape == shape else {
      return ["top keys: \(keys.elementType) \(keys.shape), expected I32 \(shape)"]
    }
    let (k, keyLength) = (shape[3], expected.weights?.shape.last ?? 0)
    let (found, foundWeights) = (keys.doubles().map { Int($0) }, listed.floats())
    let wanted = (expected.topKeys?.doubles() ?? []).map { Int($0) }
    for row in 0..<shape[..<3].reduce(1, *) {
      let list = Array(found[row * k..<(row + 1) * k])
      let own = Array(foundWeights[row * k..<(row + 1) * k])
      let all = row * keyLength..<(row + 1) * keyLength
      let count = wanted[row * k..<(row + 1) * k].count { $0 >= 0 }
      if let fault = fault(list, own, count: count, weights: Array(weights[all])) {
        return ["top keys of row \(row) of \(shape): \(fault), in \(list) of weights \(own)"]
      }
    }
    return []
  }

  /// - Parameter count: How many keys there must be.
  private static func fault(
    _ keys: [Int], _ listed: [Float], count: Int, weights: [Float]
  ) -> String? {
    guard zip(keys, listed).dropFirst(count).allSatisfy({ $0.0 == -1 && $0.1 == 0 }) else {
      return "more than \(count) keys"
    }
    let (keys, listed) = (keys.prefix(count), listed.prefix(count))
    guard keys.allSatisfy(weights.indices.contains) else { return "fewer than \(count) keys" }
    guard Set(keys).count == count else { return "a key twice" }
    for (n, key) in keys.enumerated() {
      guard agree(listed[n], weights[key], within: 1e-5) else { return "key \(key) weighs \(weights[key])" }
      guard n > 0 else { continue }
      guard !(listed[n] > listed[n - 1]) else { return "weights rise at \(n)" }
      let isTie = agree(listed[n], listed[n - 1], within: 0)
      guard !isTie || key > keys[n - 1] else { return "a tie is out of order at \(n)" }
    }
    guard let last = listed.last else { return nil }
    if last.isNaN {
      let first = weights.indices.filter { weights[$0].isNaN }.prefix(count)
      return Array(first) == Array(keys) ? nil : "not the first keys that are seen"
    }
    let missing = weights.indices.first { !keys.contains($0) && weights[$0] > last + 1e-5 }
    return missing.map { "no key \($0) of weight \(weights[$0])" }
  }

  private static func agree(_ a: Float, _ b: Float, within bound: Float) -> Bool {
    a == b || abs(a - b) <= bound || (a.isNaN && b.isNaN)
  }
}
