import ArgumentParser
import Attention
import OpenCL

struct Devices: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the OpenCL devices and the CPU backends, and check each.",
    discussion: "Each device computes a few small problems with known answers; the last column says whether it did.")

  @Flag(help: "Print one JSON object a device.")
  var json = false

  mutating func run() throws {
    let listed = try Self.platforms()
    let rows =
      listed.platforms.flatMap(\.devices).map(DeviceRow.init(device:)) + [try DeviceRow.cpu(), DeviceRow.reference]
    var remarks = listed.platforms.filter(\.devices.isEmpty).map { platform in
      let reason = platform.failure.map { ": \($0)" } ?? ""
      return "Platform \(platform.index), \(platform.name), has no device\(reason)."
    }
    if rows.allSatisfy({ $0.backend == "cpu" }) {
      remarks.append("There is no OpenCL device\(listed.problem.map { ": \($0)" } ?? "").")
    }
    if json {
      for row in rows { try Console.write(JSON.line(row)) }
      // Stdout holds an object a device and nothing else.
      Console.complain(remarks)
    } else {
      try Console.write(Self.table(rows))
      for remark in remarks { try Console.write(remark) }
    }
  }

  /// A loader that fails is no reason not to list the CPU.
  private static func platforms() throws -> (platforms: [Platform], problem: String?) {
    do {
      return (try Platform.all(), nil)
    } catch {
      return ([], "\(error)")
    }
  }

  private static func table(_ rows: [DeviceRow]) -> String {
    var table = Table(
      ["device", "name", "class", "driver", "units", "MHz", "memory", "largest", "local", "supports", "self-check"],
      rightAligned: [4, 5, 6, 7, 8], shrinking: 1)
    for row in rows {
      table.add([
        row.device, row.deviceName, row.deviceClass, row.driver, "\(row.computeUnits)",
        row.clockMhz.map(String.init) ?? "",
        bytes(row.memoryBytes), bytes(row.largestAllocationBytes), bytes(row.localMemoryBytes),
        row.supports.joined(separator: " "), row.selfCheck,
      ])
    }
    return table.text()
  }

  private static func bytes(_ count: Int?) -> String { count.map(Quantity.bytes) ?? "" }
}

/// What is said of a device; the names in JSON are these in snake case.
private struct DeviceRow: Encodable {
  var device: String
  var deviceName: String
  var backend: String
  var deviceClass: String
  var platform: String?
  var platformVersion: String?
  var vendor: String?
  var driver: String
  var openclVersion: String?
  var openclCVersion: String?
  var computeUnits: Int
  var clockMhz: Int?
  var memoryBytes: Int?
  var largestAllocationBytes: Int?
  var localMemoryBytes: Int?
  var maxWorkGroupSize: Int?
  var supports: [String]
  var selfCheck: String

  init(device: Device) {
    let info = device.info
    self.device = device.identifier
    deviceName = info.name
    backend = "opencl"
    deviceClass = "\(info.kind)"
    platform = info.platformName
    platformVersion = info.platformVersion
    vendor = info.vendor
    driver = info.driverVersion
    openclVersion = info.deviceVersion
    openclCVersion = info.openCLCVersion
    computeUnits = info.computeUnits
    clockMhz = info.clockMHz
    memoryBytes = info.globalMemory
    largestAllocationBytes = info.maxAllocation
    localMemoryBytes = info.localMemory
    maxWorkGroupSize = info.maxWorkGroupSize
    supports = ["f32", "f16", "bf16"]
    if info.supportsHalfArithmetic { supports.append("fp16-arithmetic") }
    if !info.requiredSubgroupSizes.isEmpty {
      supports.append("sub-groups-" + info.requiredSubgroupSizes.map(String.init).joined(separator: "/"))
    }
    let profile = DeviceProfile(device)
    if let units = profile.matrixUnits.values.first { supports.append("matrix-units-\(units.rawValue)") }
    if profile.amx == .native { supports.append("amx") }
    if info.hostUnifiedMemory { supports.append("host-memory") }
    selfCheck = Self.check(device.identifier)
  }

  /// What needs no OpenCL.
  private init(_ profile: DeviceProfile, supports: [String] = []) {
    device = profile.identifier
    deviceName = profile.name
    backend = "cpu"
    deviceClass = "cpu"
    driver = "built in"
    computeUnits = profile.computeUnits
    self.supports = ["f32", "f16", "bf16"] + supports
    selfCheck = Self.check(profile.identifier)
  }

  /// The CPU backend, with every instruction set that it can be told to use.
  ///
  /// - Throws: where `ATTENTION_ISA` or `ATTENTION_THREADS` is wrong.
  static func cpu() throws -> DeviceRow {
    let threads = try Threads()
    let profile = try DeviceRegistry.backend(named: "cpu").profile(threads: threads.count)
    return DeviceRow(profile, supports: InstructionSet.available.map(\.rawValue))
  }

  static var reference: DeviceRow { DeviceRow(Backend.reference.profile(threads: Quantity.processors)) }

  /// "passed", or what went wrong in a line.
  private static func check(_ identifier: String) -> String {
    do {
      let engine = try AttentionEngine(device: .named([identifier]))
      for check in try SelfCheck.cases(quick: true) {
        let outcome = try SelfCheck.run(check, on: engine)
        guard outcome.passed else {
          return "FAILED: \(outcome.name), error \(outcome.maximumError), bound \(outcome.bound)"
        }
      }
      return "passed"
    } catch {
      return "FAILED: \(error)".split(separator: "\n").first.map(String.init) ?? "FAILED"
    }
  }
}
