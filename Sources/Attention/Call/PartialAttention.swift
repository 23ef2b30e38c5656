import Foundation

/// Attention over a part of the keys: the output of a softmax over these keys alone, and the logarithm of its denominator.
///
/// Parts of disjoint keys, from wherever they come (a cached prefix, another device or machine), merge into what attention
/// over all of the keys gives. ``AttentionResult/output`` and ``AttentionResult/logSumExp`` of a call are one.
public struct PartialAttention: Sendable {
  /// `[B, H, L, Dv]`, `[B, L, H, Dv]` or `[ΣL, H, Dv]`, by the layout.
  public var output: Tensor
  /// Float32 `[B, H, L]`; `[H, ΣL]` in layout `thd`.
  public var logSumExp: Tensor
  public var layout: TensorLayout

  public init(output: Tensor, logSumExp: Tensor, layout: TensorLayout = .bhsd) {
    self.output = output
    self.logSumExp = logSumExp
    self.layout = layout
  }

  /// Merges parts: `lse = ln Σ exp(lseₚ)`, `output = Σ exp(lseₚ − lse) · outputₚ`, in the order given and in float64.
  ///
  /// Associative but for rounding. A part that saw no key (`lse = −∞`) counts for nothing, whatever its output. Sinks belong
  /// to one part only: each part's denominator is counted as it is.
  ///
  /// - Returns: A part of all keys, in the first part's element type.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where there is no part, or shapes or layouts differ.
  public static func merged(_ parts: [PartialAttention]) throws -> PartialAttention {
    guard let first = parts.first else {
      throw AttentionError.invalid(argument: "parts", found: "none", expected: "one or more")
    }
    for (n, part) in parts.enumerated() { try part.check(n, like: first) }
    let width = first.output.shape.last ?? 1
    let outputs = parts.map { $0.output.floats() }
    let sums = parts.map { $0.logSumExp.floats() }
    var output = [Float](repeating: 0, count: first.output.count)
    var logSumExp = [Float](repeating: -.infinity, count: first.logSumExp.count)
    for row in logSumExp.indices {
      let own = sums.map { Double($0[row]) }
      let seen = own.indices.filter { own[$0] != -.infinity }
      guard !seen.isEmpty else { continue }
      let largest = seen.reduce(-Double.infinity) { own[$1] > $0 || own[$1].isNaN ? own[$1] : $0 }
      let weights = seen.map { exp(own[$0] - largest) }
      let sum = weights.reduce(0, +)
      logSumExp[row] = Float(largest + log(sum))
      let start = first.outputRow(row) * width
      for d in start..<start + width {
        output[d] = Float(zip(seen, weights).reduce(0) { $0 + $1.1 * Double(outputs[$1.0][d]) } / sum)
      }
    }
    return PartialAttention(
      output: try Tensor(output, shape: first.output.shape, as: first.output.elementType),
      logSumExp: try Tensor(logSumExp, shape: first.logSumExp.shape), layout: first.layout)
  }

  /// The row of the output that a log-sum-exp, counted in its own order, belongs to.
  private func outputRow(_ row: Int) -> Int {
    let shape = output.shape
    switch layout {
    case .bhsd: return row
    case .bshd:
      let (rows, heads) = (shape[1], shape[2])
      return (row / (heads * rows) * rows + row % rows) * heads + row / rows % heads
    case .thd: return row % shape[0] * shape[1] + row / shape[0]
    }
  }

  private func check(_ index: Int, like first: PartialAttention) throws {
    let expected: [Int]? =
      switch (layout, output.shape.count) {
      case (.bhsd, 4): Array(output.shape[..<3])
      case (.bshd, 4): [output.shape[0], output.shape[2], output.shape[1]]
      case (.thd, 3): [output.shape[1], output.shape[0]]
      default: nil
      }
    guard let expected, output.elementType.isAttentionStorage else {
      throw AttentionError.invalid(
        argument: "parts[\(index)].output", found: "\(output.elementType.rawValue) \(output.shape)",
        expected: "F32, F16 or BF16 of \(layout == .thd ? 3 : 4) dimensions")
    }
    guard logSumExp.shape == expected, logSumExp.elementType == .float32 else {
      throw AttentionError.invalid(
        argument: "parts[\(index)].log_sum_exp", found: "\(logSumExp.elementType.rawValue) \(logSumExp.shape)",
        expected: "F32 \(expected)")
    }
    guard output.shape == first.output.shape, layout == first.layout else {
      throw AttentionError.invalid(
        argument: "parts[\(index)].output", found: "\(output.shape), \(layout.rawValue)",
        expected: "\(first.output.shape), \(first.layout.rawValue), as the first part")
    }
  }
}
