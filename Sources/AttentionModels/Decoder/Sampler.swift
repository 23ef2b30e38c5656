import Attention
import Foundation

/// How the next token is chosen.
public struct SamplingOptions: Sendable, Hashable {
  /// What the logits are divided by; 0 takes the largest.
  public var temperature: Float = 0.8
  /// Only so many of the likeliest tokens; 0 is all.
  public var topK = 40
  /// Only the likeliest tokens that together have this probability (Holtzman et al., nucleus sampling); 1 is all.
  public var topP: Float = 0.95
  /// Only tokens of at least this share of the likeliest one's probability (Nguyen et al., min-p); 0 is all.
  public var minP: Float = 0.05
  public var seed: UInt64 = 0

  public init() {}

  /// The likeliest token, always.
  public static var greedy: SamplingOptions {
    var options = SamplingOptions()
    options.temperature = 0
    return options
  }

  /// - Throws: ``ModelError`` for a number that is out of its range.
  func check() throws {
    func require(_ isTrue: Bool, _ name: String, _ found: Any, _ expected: String) throws {
      guard isTrue else { throw ModelError(name, found: "\(found)", expected: expected) }
    }
    try require(temperature >= 0 && temperature.isFinite, "temperature", temperature, "a number not below 0")
    try require(topK >= 0, "top-k", topK, "0 or more")
    try require(topP > 0 && topP <= 1, "top-p", topP, "above 0, at most 1")
    try require((0...1).contains(minP), "min-p", minP, "0 to 1")
  }
}

/// Chooses tokens; the same seed and logits make the same choices.
package struct Sampler {
  private let options: SamplingOptions
  private var numbers: SeededNumbers

  package init(_ options: SamplingOptions) {
    self.options = options
    numbers = SeededNumbers(seed: options.seed)
  }

  /// - Parameter logits: At least one.
  package mutating func choose(_ logits: [Float]) -> Int {
    guard options.temperature > 0 else { return Self.largest(logits) }
    var candidates = candidates(logits)
    let most = candidates.first?.logit ?? 0
    var weights = candidates.map { exp(Double(($0.logit - most) / options.temperature)) }
    // The filters see the probabilities that the temperature makes, one after the other.
    let kept = max(1, weights.prefix { $0 >= Double(options.minP) }.count)
    candidates.removeSubrange(kept...)
    weights.removeSubrange(kept...)
    let total = weights.reduce(0, +)
    var sum = 0.0
    let end = weights.firstIndex { weight in
      sum += weight
      return sum >= Double(options.topP) * total
    }
    let count = (end ?? weights.count - 1) + 1
    var rest = uniform() * weights.prefix(count).reduce(0, +)
    for index in 0..<count {
      rest -= weights[index]
      if rest < 0 { return candidates[index].id }
    }
    return candidates[count - 1].id
  }

  /// The first of the largest logits; NaN is none.
  private static func largest(_ logits: [Float]) -> Int {
    var best = 0
    for (id, logit) in logits.enumerated() where logit > logits[best] || logits[best].isNaN { best = id }
    return best
  }

  /// The likeliest tokens, best first; of equal ones the lower number.
  private func candidates(_ logits: [Float]) -> [(id: Int, logit: Float)] {
    let all = logits.enumerated().filter { !$0.element.isNaN }.map { (id: $0.offset, logit: $0.element) }
    guard !all.isEmpty else { return [(0, 0)] }
    let sorted = all.sorted { ($0.logit, $1.id) > ($1.logit, $0.id) }
    return options.topK > 0 ? Array(sorted.prefix(options.topK)) : sorted
  }

  /// A number in 0 ..< 1.
  private mutating func uniform() -> Double {
    Double(numbers.next() >> 11) * 0x1p-53
  }
}
