import Attention
import Foundation
import OpenCL

/// What a comparison ran on and how it was called, as pairs of a name and a text.
enum MachineDescription {
  static var host: [(String, String)] {
    var facts = [("Processor", "\(processor ?? "unknown"), \(Quantity.processors) in use")]
    facts.append(("Memory", Quantity.bytes(Int(clamping: ProcessInfo.processInfo.physicalMemory))))
    facts.append(("System", system))
    facts.append(("Program", "attend \(Attend.version)"))
    return facts
  }

  /// A device's driver and size; nothing more than the name of what is not OpenCL.
  static func device(_ profile: DeviceProfile) -> String {
    let devices = (try? DeviceRegistry.openCLDevices()) ?? []
    guard let info = devices.first(where: { $0.identifier == profile.identifier })?.info else { return profile.name }
    return [
      info.name, "\(info.platformName), driver \(info.driverVersion)", info.deviceVersion,
      "\(info.computeUnits) compute units" + (info.clockMHz > 0 ? " at \(info.clockMHz) MHz" : ""),
      Quantity.bytes(info.globalMemory),
    ].joined(separator: "; ")
  }

  /// The command line, so that a shell takes it.
  static var commandLine: String {
    (["attend"] + CommandLine.arguments.dropFirst()).map { word in
      let isPlain = !word.isEmpty && word.allSatisfy { $0.isLetter || $0.isNumber || "-_.,:/=+%".contains($0) }
      return isPlain ? word : "'\(word.replacingOccurrences(of: "'", with: "'\\''"))'"
    }.joined(separator: " ")
  }

  private static var processor: String? {
    guard let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8) else { return nil }
    let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
    return line?.split(separator: ":", maxSplits: 1).last?.trimmingCharacters(in: .whitespaces)
  }

  private static var system: String {
    let text = try? String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8)
    let release = text?.trimmingCharacters(in: .whitespacesAndNewlines)
    return ProcessInfo.processInfo.operatingSystemVersionString + (release.map { ", kernel \($0)" } ?? "")
  }
}
