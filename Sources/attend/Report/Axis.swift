import Foundation

/// One direction of a chart: values and where they lie, from 0 to 1.
struct Axis {
  enum Scale {
    /// From zero.
    case linear
    /// By powers of two.
    case logarithmic
  }

  let scale: Scale
  /// Values with a line and a label, in order.
  let ticks: [Double]
  private let lowest: Double
  private let highest: Double

  /// An axis that holds all values and ends at ticks.
  init(_ scale: Scale, holding values: [Double], tickCount: Int = 5) {
    self.scale = scale
    let positive = values.filter { $0 > 0 && $0.isFinite }
    switch scale {
    case .linear:
      let step = Self.step(atLeast: (positive.max() ?? 1) / Double(tickCount))
      let count = max(1, Int(((positive.max() ?? 1) / step).rounded(.up)))
      ticks = (0...count).map { Double($0) * step }
    case .logarithmic:
      let first = Int(log2(positive.min() ?? 1).rounded(.down))
      let last = max(first + 1, Int(log2(positive.max() ?? 2).rounded(.up)))
      let step = (last - first + tickCount - 1) / tickCount
      let end = first + (last - first + step - 1) / step * step
      ticks = stride(from: first, through: end, by: step).map { exp2(Double($0)) }
    }
    lowest = ticks.first ?? 0
    highest = ticks.last ?? 1
  }

  /// An axis whose ticks are the values themselves, thinned where they are many.
  init(ticks values: [Double], most: Int = 7) {
    scale = .logarithmic
    let sorted = Set(values).sorted()
    let step = max(1, (sorted.count + most - 1) / most)
    // Counted from the end: the longest is the one that matters.
    ticks = sorted.reversed().enumerated().filter { $0.offset % step == 0 }.map(\.element).reversed()
    lowest = sorted.first ?? 1
    highest = sorted.last ?? 1
  }

  /// Where a value lies; the middle of an axis that holds one value only.
  func place(_ value: Double) -> Double {
    guard highest > lowest else { return 0.5 }
    switch scale {
    case .linear: return (value - lowest) / (highest - lowest)
    case .logarithmic: return (log2(value) - log2(lowest)) / (log2(highest) - log2(lowest))
    }
  }

  /// 1, 2 or 5 times a power of ten.
  private static func step(atLeast least: Double) -> Double {
    let power = pow(10, log10(least).rounded(.down))
    return [1, 2, 5].map { $0 * power }.first { $0 >= least * 0.999_999 } ?? 10 * power
  }
}
