import OpenCL

/// How the kernels of a CPU-class device can multiply by AMX, whose tiles Kernels/fused_amx.cl is written for.
public enum AMX: Int, Sendable, Hashable {
  /// Not at all.
  case none = 0
  /// By the processor's own instructions.
  case native
  /// In OpenCL C, for tests: slow.
  case emulated

  /// What a device has. PoCL runs kernels in this process, which asks the system for AMX's tiles when it is asked whether there
  /// are any; what other drivers do is not known.
  static func of(_ info: DeviceInfo) -> AMX {
    let runsHere = ["pthread-", "cpu-"].contains { info.name.hasPrefix($0) }
    guard info.kind == .cpu, info.platformName == "Portable Computing Language", runsHere,
      info.nativeVectorWidthFloat >= 16, InstructionSet.amx.kernels != nil
    else { return .none }
    return .native
  }
}
