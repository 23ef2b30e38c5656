/// What sort of processor a device is.
public enum DeviceKind: String, Sendable, Hashable, CaseIterable {
  /// The host's own processor.
  case cpu
  /// A graphics processor.
  case gpu
  /// A processor made for OpenCL or the like.
  case accelerator
  /// Anything else.
  case other
}
