import Foundation

/// Rotary position embedding (Su et al., "RoFormer"): pairs of elements of queries and keys are turned by angles that grow
/// with the position, so that their product depends on how far apart they are.
///
/// Pair `p` of a row at position `t` turns by `t · θ(p)`, with `θ(p) = base^(−2p / dimensions)` where nothing is scaled.
public struct RotaryEmbedding: Sendable, Hashable, Codable {
  /// Which elements make a pair.
  public enum Style: String, Sendable, Hashable, CaseIterable, Codable {
    /// Elements `p` and `p + dimensions / 2` (GPT-NeoX, Llama as published by Hugging Face).
    case halfRotated
    /// Elements `2p` and `2p + 1` (GPT-J, Llama as published by Meta).
    case interleaved
  }

  /// How the angles are changed for contexts longer than those trained on.
  public enum Scaling: Sendable, Hashable, Codable {
    case none
    /// Positions divided by a factor (Chen et al., "position interpolation").
    case linear(factor: Double)
    /// The base multiplied by `factor^(dimensions / (dimensions − 2))`: high frequencies stay, low ones are stretched.
    case ntk(factor: Double)
    /// YaRN (Peng et al.): frequencies that turn more than `betaFast` times in the original context stay, those that turn
    /// less than `betaSlow` times are divided by the factor, those between go over; cosines and sines are multiplied by
    /// `attentionFactor`, `0.1 · ln(factor) + 1` where it is nil.
    case yarn(
      factor: Double, originalLength: Int, betaFast: Double = 32, betaSlow: Double = 1, attentionFactor: Double? = nil)
  }

  /// Elements of a row that are rotated, from its first on: even. The others stay as they are.
  public var dimensions: Int
  public var base: Double
  public var style: Style
  public var scaling: Scaling

  public init(
    dimensions: Int, base: Double = 10_000, style: Style = .halfRotated, scaling: Scaling = .none
  ) {
    self.dimensions = dimensions
    self.base = base
    self.style = style
    self.scaling = scaling
  }

  /// Pairs of a row; 0 where ``dimensions`` is no number of elements.
  public var pairs: Int { max(0, dimensions / 2) }

  /// The angle of each pair at position 1, in radians.
  public var frequencies: [Double] {
    func plain(_ base: Double) -> [Double] { (0..<pairs).map { pow(base, -2 * Double($0) / Double(dimensions)) } }
    switch scaling {
    case .none: return plain(base)
    case .linear(let factor): return plain(base).map { $0 / factor }
    case .ntk(let factor):
      // A single pair turns as it is: it has no lower frequency to stretch.
      guard dimensions > 2 else { return plain(base) }
      return plain(base * pow(factor, Double(dimensions) / Double(dimensions - 2)))
    case .yarn(let factor, let length, let betaFast, let betaSlow, _):
      func pair(turning times: Double) -> Double {
        Double(dimensions) * log(Double(length) / (times * 2 * .pi)) / (2 * log(base))
      }
      let low = max(pair(turning: betaFast).rounded(.down), 0)
      let high = min(pair(turning: betaSlow).rounded(.up), Double(dimensions - 1))
      return plain(base).enumerated().map { p, frequency in
        let ramp = min(max((Double(p) - low) / max(high - low, 0.001), 0), 1)
        return frequency / factor * ramp + frequency * (1 - ramp)
      }
    }
  }

  /// What cosines and sines are multiplied by.
  public var magnitude: Double {
    guard case .yarn(let factor, _, _, _, let attentionFactor) = scaling else { return 1 }
    return attentionFactor ?? (factor > 1 ? 0.1 * log(factor) + 1 : 1)
  }

  /// For each position the cosines of its pairs, then the sines: `[positions, 2, pairs]`. Computed in float64.
  package func angles(at positions: [Int]) -> [Float] {
    let (frequencies, magnitude) = (frequencies, magnitude)
    var angles: [Float] = []
    angles.reserveCapacity(positions.count * 2 * pairs)
    for position in positions {
      angles += frequencies.map { Float(cos(Double(position) * $0) * magnitude) }
      angles += frequencies.map { Float(sin(Double(position) * $0) * magnitude) }
    }
    return angles
  }

  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where a row of `width` elements cannot be rotated so.
  package func check(width: Int) throws {
    func require(_ holds: Bool, _ argument: String, _ found: Any, _ expected: String) throws {
      guard holds else {
        throw AttentionError.invalid(argument: "rotary \(argument)", found: "\(found)", expected: expected)
      }
    }
    try require(
      dimensions > 0 && dimensions % 2 == 0 && dimensions <= width, "dimensions", dimensions,
      "an even number from 2 to the row's \(width)")
    try require(base.isFinite && base > 1, "base", base, "a finite number above 1")
    switch scaling {
    case .none: break
    case .linear(let factor), .ntk(let factor):
      try require(factor.isFinite && factor > 0, "scaling factor", factor, "a finite number above 0")
    case .yarn(let factor, let length, let fast, let slow, let attention):
      try require(factor.isFinite && factor > 0, "scaling factor", factor, "a finite number above 0")
      try require(length > 0, "original length", length, "1 or more")
      try require(fast.isFinite && slow.isFinite && slow > 0 && fast > slow, "beta", [slow, fast], "0 < slow < fast")
      try require(
        attention ?? 1 > 0 && (attention ?? 1).isFinite, "attention factor", attention ?? 1, "a finite number above 0")
    }
  }

  /// Rotates the beginning of a row in place, as the device does, by the cosines and sines of its pairs.
  package func rotate(
    _ row: UnsafeMutableBufferPointer<Float>, cosines: UnsafeBufferPointer<Float>, sines: UnsafeBufferPointer<Float>
  ) {
    let (other, step) = style == .interleaved ? (1, 2) : (pairs, 1)
    for p in 0..<pairs {
      let (x, y) = (row[p * step], row[p * step + other])
      row[p * step] = x * cosines[p] - y * sines[p]
      row[p * step + other] = y * cosines[p] + x * sines[p]
    }
  }
}
