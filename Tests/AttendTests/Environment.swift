import Attention
import OpenCL

/// What this machine has, for the tests that need it.
enum Environment {
  static let hasOpenCLDevice = DeviceRegistry.hasUsableOpenCLDevice

  /// Whether the best OpenCL device is one of PoCL's.
  static var hasPoCL: Bool {
    guard let devices = try? DeviceRegistry.openCLDevices() else { return false }
    return devices.first { DeviceRegistry.unusable($0) == nil }?.info.platformName == "Portable Computing Language"
  }

  /// A machine without any OpenCL implementation.
  static func withoutOpenCL(_ folder: TemporaryFolder) -> [String: String?] {
    ["OCL_ICD_VENDORS": folder.url.path, "OCL_ICD_FILENAMES": nil]
  }
}
