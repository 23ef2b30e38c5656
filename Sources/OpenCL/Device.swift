internal import COpenCL

/// One OpenCL device of this machine, found by `Platform.all()`.
public struct Device: Sendable {
  /// The place of its platform in the loader's order, from 0.
  public let platformIndex: Int

  /// Its place among its platform's devices, from 0.
  public let index: Int

  /// What it says of itself.
  public let info: DeviceInfo

  /// The device, for OpenCL calls.
  let handle: Handle<HandleKind.Device>

  /// The platform it belongs to, for OpenCL calls.
  let platform: Handle<HandleKind.Platform>

  /// A short name that tells it from every other device of this machine: "opencl:P:D", with the places of the platform
  /// and of the device.
  public var identifier: String { "opencl:\(platformIndex):\(index)" }

  /// Its name, such as "llvmpipe (LLVM 15.0.6, 256 bits)".
  public var name: String { info.name }

  /// Every device of every platform, in the loader's order.
  ///
  /// - Throws: `OpenCLError` if the loader cannot list the platforms.
  public static func all() throws(OpenCLError) -> [Device] {
    try Platform.all().flatMap(\.devices)
  }
}

extension Device: Hashable {
  /// Whether both are the same device of this machine.
  public static func == (left: Device, right: Device) -> Bool {
    left.platformIndex == right.platformIndex && left.index == right.index
  }

  /// Hashes the places that make the identifier.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(platformIndex)
    hasher.combine(index)
  }
}

extension Device: CustomStringConvertible {
  /// The identifier and the name.
  public var description: String { "\(identifier) \(name)" }
}
