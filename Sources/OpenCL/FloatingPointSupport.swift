/// What a device's single-precision arithmetic does (`CL_DEVICE_SINGLE_FP_CONFIG`).
public struct FloatingPointSupport: OptionSet, Sendable, Hashable {
  /// The bits OpenCL uses.
  public let rawValue: UInt64

  /// Support of any bits, known or not.
  public init(rawValue: UInt64) {
    self.rawValue = rawValue
  }

  /// Denormals are kept, not flushed to zero.
  public static let denormals = FloatingPointSupport(rawValue: 1 << 0)
  /// Infinities and quiet NaNs exist.
  public static let infinityAndNaN = FloatingPointSupport(rawValue: 1 << 1)
  /// Rounding to the nearest even.
  public static let roundToNearest = FloatingPointSupport(rawValue: 1 << 2)
  /// Rounding to zero.
  public static let roundToZero = FloatingPointSupport(rawValue: 1 << 3)
  /// Rounding to the infinities.
  public static let roundToInfinity = FloatingPointSupport(rawValue: 1 << 4)
  /// Fused multiply-add as in IEEE 754.
  public static let fusedMultiplyAdd = FloatingPointSupport(rawValue: 1 << 5)
  /// Arithmetic is done in software.
  public static let software = FloatingPointSupport(rawValue: 1 << 6)
  /// Division and square root round correctly.
  public static let correctlyRoundedDivideAndSquareRoot = FloatingPointSupport(rawValue: 1 << 7)
}
