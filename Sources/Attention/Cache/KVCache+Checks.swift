// MARK: Checks

extension KVCache {
  func checkedRows(_ key: KVRows, _ value: KVRows?, _ layout: TensorLayout) throws -> Int {
    func form(_ rows: String, _ width: String) -> String {
      layout == .bhsd ? "[B, Hkv, \(rows), \(width)]" : "[B, \(rows), Hkv, \(width)]"
    }
    guard layout != .thd else {
      throw AttentionError.invalid(argument: "layout", found: "thd", expected: "bhsd or bshd")
    }
    let shape = key.shape
    let rowDimension = layout == .bhsd ? 2 : 1
    guard shape.count == 4 else {
      throw AttentionError.invalid(argument: "key", found: "shape \(shape)", expected: form("n", "D"))
    }
    let rows = shape[rowDimension]
    func expected(_ width: Int) -> [Int] {
      layout == .bhsd ? [batch, heads, rows, width] : [batch, rows, heads, width]
    }
    func check(_ rows: KVRows, named name: String, _ width: Int, _ letter: String) throws {
      guard rows.shape == expected(width) else {
        throw AttentionError.invalid(
          argument: name, found: "shape \(rows.shape)", expected: "\(form("n", letter)) = \(expected(width))")
      }
      guard rows.elementType.isAttentionStorage, rows.elementType == key.elementType else {
        throw AttentionError.invalid(
          argument: name, found: rows.elementType.rawValue,
          expected: name == "key" ? "F32, F16 or BF16" : "the key's type, \(key.elementType.rawValue)")
      }
    }
    try check(key, named: "key", headDimension, "D")
    guard (value == nil) == options.valuesAreKeys else {
      throw AttentionError.invalid(
        argument: "value", found: value == nil ? "none" : "a tensor",
        expected: options.valuesAreKeys ? "none: the values are the keys" : form("n", "Dv"))
    }
    if let value { try check(value, named: "value", valueDimension, "Dv") }
    return rows
  }

  func checked(_ lengths: [Int]?, rows: Int) throws -> [Int] {
    let counts = lengths ?? Array(repeating: rows, count: batch)
    guard counts.count == batch, counts.allSatisfy({ (0...rows).contains($0) }) else {
      throw AttentionError.invalid(
        argument: "lengths", found: "\(counts)", expected: "[B] = [\(batch)] lengths of 0 to \(rows)")
    }
    for (sequence, count) in zip(sequences, counts)
    where sequence.length + sequence.hole + sequence.forgotten + count >= AttentionSequence.unlimited {
      throw AttentionError.invalid(
        argument: "key", found: "\(sequence.length) and \(count) more keys", expected: "fewer than 2^30")
    }
    return counts
  }

  func check(_ positions: [[Int]]?, _ counts: [Int]) throws {
    guard let positions else { return }
    guard options.rotary != nil else {
      throw AttentionError.invalid(argument: "positions", found: "some", expected: "none: the cache rotates nothing")
    }
    guard options.rolling == nil else {
      throw AttentionError.invalid(
        argument: "positions", found: "some", expected: "none: those of a rolling cache follow from what it keeps")
    }
    guard positions.count == batch, zip(positions, counts).allSatisfy({ $0.count >= $1 }) else {
      throw AttentionError.invalid(
        argument: "positions", found: "\(positions.map(\.count)) positions", expected: "\(counts) or more")
    }
  }

  func check(sequence b: Int) throws {
    guard sequences.indices.contains(b) else {
      throw AttentionError.invalid(argument: "sequence", found: "\(b)", expected: "0 to \(batch - 1)")
    }
  }
}
