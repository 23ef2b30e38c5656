import OpenCL

/// Who made a GPU, as far as kernels are tuned for it.
public enum DeviceVendor: String, Sendable, Hashable, CaseIterable {
  case amd
  case nvidia
  case intel
  /// Any other maker, and every device that is not a GPU.
  case other

  /// By what the device says of itself. A processor is no GPU, whoever made it and however its driver treats it.
  init(_ info: DeviceInfo) {
    let vendor = info.vendor.lowercased()
    self =
      if info.kind != .gpu {
        .other
      } else if vendor.contains("advanced micro devices") || vendor.contains("amd") {
        .amd
      } else if vendor.contains("nvidia") {
        .nvidia
      } else if vendor.contains("intel") {
        .intel
      } else {
        .other
      }
  }
}
