import Attention
import OpenCL

/// What this machine has, for the tests that need it.
enum Environment {
  static let hasOpenCLDevice = DeviceRegistry.hasUsableOpenCLDevice

  /// Whether the only OpenCL device is PoCL's.
  static var hasOnlyPoCL: Bool {
    guard let devices = try? DeviceRegistry.openCLDevices() else { return false }
    return devices.count == 1 && devices[0].info.platformName == "Portable Computing Language"
  }

  /// Whether PoCL, where there is nothing else, gives out no more than part of its memory at once: before version 7 a quarter.
  static var poclKeepsAllocationsSmall: Bool {
    guard hasOnlyPoCL, let info = try? DeviceRegistry.openCLDevices().first?.info else { return false }
    return info.maxAllocation < info.globalMemory
  }

  /// A machine without any OpenCL implementation.
  static func withoutOpenCL(_ folder: TemporaryFolder) -> [String: String?] {
    ["OCL_ICD_VENDORS": folder.url.path, "OCL_ICD_FILENAMES": nil]
  }
}
