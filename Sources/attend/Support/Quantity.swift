import Foundation

/// Numbers as people read them.
enum Quantity {
  static func bytes(_ count: Int) -> String {
    var value = Double(count)
    for unit in ["B", "KiB", "MiB", "GiB"] {
      if value < 1024 { return unit == "B" ? "\(count) B" : "\(rounded(value)) \(unit)" }
      value /= 1024
    }
    return "\(rounded(value)) TiB"
  }

  static func seconds(_ seconds: Double) -> String {
    switch seconds {
    case ..<1e-3: "\(rounded(seconds * 1e6)) µs"
    case ..<1: "\(rounded(seconds * 1e3)) ms"
    default: "\(rounded(seconds)) s"
    }
  }

  /// Three digits, or all before the point.
  static func rounded(_ value: Double) -> String {
    guard value.isFinite else { return "\(value)" }
    let digits = abs(value) >= 100 ? 0 : abs(value) >= 10 ? 1 : 2
    return String(format: "%.\(digits)f", value)
  }

  static func scientific(_ value: Double) -> String { String(format: "%.1e", value) }

  static var processors: Int { ProcessInfo.processInfo.activeProcessorCount }
}
