import Attention
import OpenCL

/// The measured peaks of the devices of a comparison, by identifier.
struct DevicePeaks {
  private var rates: [String: Double] = [:]
  /// Why a device's peak is missing.
  private(set) var failures: [String: String] = [:]

  /// Measures each OpenCL device among these; the reference has no peak. Measured again, the higher rate stays: before and
  /// after a comparison is better than at one moment, in which the machine may do something else.
  mutating func measure(_ profiles: [DeviceProfile]) {
    let devices = (try? DeviceRegistry.openCLDevices()) ?? []
    for device in devices where profiles.contains(where: { $0.identifier == device.identifier }) {
      do {
        let rate = try PeakRate(measuring: device).operationsPerSecond
        rates[device.identifier] = max(rate, rates[device.identifier] ?? 0)
      } catch {
        failures[device.identifier] = "\(error)".split(separator: "\n").first.map(String.init) ?? "failed"
      }
    }
  }

  subscript(identifier: String) -> Double? { rates[identifier] }

  /// What part of the peak of its devices together a row reached; nil where one of them has none.
  func fraction(_ row: BenchRow) -> Double? {
    let peaks = row.device.split(separator: ",").map { rates[String($0)] }
    let known = peaks.compactMap(\.self)
    guard known.count == peaks.count, !known.isEmpty else { return nil }
    return row.gflops * 1e9 / known.reduce(0, +)
  }
}
