import Foundation

/// Numbers as people read them.
enum Quantity {
  static func bytes(_ count: Int) -> String { bytes(Double(count)) }

  static func bytes(_ count: Double) -> String {
    count < 1024
      ? String(format: "%.0f B", count) : scaled(count, by: 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
  }

  /// Floating-point operations.
  static func operations(_ count: Double) -> String {
    scaled(count, by: 1000, ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"])
  }

  private static func scaled(_ value: Double, by step: Double, _ units: [String]) -> String {
    var (value, place) = (value, 0)
    while value >= step, place < units.count - 1 {
      value /= step
      place += 1
    }
    return "\(rounded(value)) \(units[place])"
  }

  /// A number of things: the name of one, and of more where that is not the same with an s.
  static func count(_ number: Int, _ name: String, _ names: String? = nil) -> String {
    "\(number) \(number == 1 ? name : names ?? name + "s")"
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
