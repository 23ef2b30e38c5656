import Foundation

/// What PoCL's compiler is asked to leave, through the environment that it reads, for it comes out wrong.
package enum PoCLDefects {
  /// To be called before anything is built for a device. What the user has set stays.
  static func avoid(on device: DeviceInfo) {
    guard let version = version(device), version >= 7 else { return }
    _ = avoided
  }

  /// Once, for other threads may read the environment meanwhile.
  private static let avoided: Void = {
    // PoCL 7.1 compiles a kernel again for work-groups of the size that it is launched with. Made so for one item, kernels whose
    // loops it puts barriers in run what is between those twice: decode_cpu had sums twice as large.
    setenv("POCL_WORK_GROUP_SPECIALIZATION", "0", 0)
    // Between barriers PoCL 7.1 computes values again rather than keep them, and follows a null pointer over fused_gpu.
    setenv("POCL_PREGION_VALUE_REMAT", "0", 0)
  }()

  /// The major version: 7 of "7.1+debian"; nil of other platforms.
  package static func version(_ device: DeviceInfo) -> Int? {
    guard device.platformName == "Portable Computing Language" else { return nil }
    return Int(device.driverVersion.prefix { $0.isNumber })
  }
}
