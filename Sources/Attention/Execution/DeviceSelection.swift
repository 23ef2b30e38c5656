import OpenCL

/// Which devices to compute on, as users name them.
public enum DeviceSelection: Sendable, Hashable {
  /// A GPU or accelerator; without one, a CPU OpenCL device; without that, the CPU. Whatever fails is passed over.
  case auto
  /// These and no others; several divide the heads between them.
  case named([String])

  /// Reads `auto`, or names separated by commas: `reference`, `cpu`, `opencl`, `opencl:P:D`, or a part of a device's or
  /// platform's name.
  public init(_ text: String) {
    let names = text.split(separator: ",").map { String($0.trimmed) }.filter { !$0.isEmpty }
    self = names.isEmpty || names == ["auto"] ? .auto : .named(names)
  }
}

/// A device that plans can name: an OpenCL device, or the reference.
package enum Backend: Sendable, Hashable {
  case reference(identifier: String)
  case openCL(Device)

  package var identifier: String {
    switch self {
    case .reference(let identifier): identifier
    case .openCL(let device): device.identifier
    }
  }
}

/// The devices of this machine, and how names find them.
package enum DeviceRegistry {
  /// The OpenCL devices, best first, and none where the loader finds none.
  ///
  /// - Throws: ``AttentionError/openCL(_:)`` where the loader itself fails.
  package static func openCLDevices() throws -> [Device] {
    do {
      return try Platform.all().flatMap(\.devices).sorted { rank($0) > rank($1) }
    } catch {
      throw AttentionError.openCL(error)
    }
  }

  /// Why a device cannot be used at all; nil where it can.
  package static func unusable(_ device: Device) -> String? {
    let info = device.info
    if !info.available { return "it says that it is not available" }
    if !info.compilerAvailable { return "it has no compiler" }
    if !info.littleEndian { return "its byte order is not the host's" }
    if !info.singleFPConfig.contains(.infinityAndNaN) { return "it has no infinities and NaN" }
    return nil
  }

  /// The backends to try under `auto`, in order.
  package static func automatic() throws -> [Backend] {
    try openCLDevices().filter { unusable($0) == nil }.map(Backend.openCL) + [.reference(identifier: "cpu")]
  }

  /// Whether `auto` would use OpenCL.
  package static var hasUsableOpenCLDevice: Bool {
    guard let devices = try? openCLDevices() else { return false }
    return devices.contains { unusable($0) == nil }
  }

  /// The backend that a name stands for.
  ///
  /// - Throws: ``AttentionError/noDevice(requested:available:)`` where none does, and
  ///   ``AttentionError/cannotRun(device:reason:)`` where the one that does is unusable.
  package static func backend(named name: String) throws -> Backend {
    if name == "reference" || name == "cpu" { return .reference(identifier: name) }
    let devices = try openCLDevices()
    let wanted = name.lowercased()
    let matching =
      wanted == "opencl"
      ? devices.filter { unusable($0) == nil }
      : devices.filter { device in
        device.identifier == wanted
          || !wanted.hasPrefix("opencl")
            && [device.info.name, device.info.platformName].contains { $0.lowercased().contains(wanted) }
      }
    guard let device = matching.first else {
      throw AttentionError.noDevice(
        requested: name, available: devices.map { "\($0.identifier) (\($0.info.name))" } + ["cpu", "reference"])
    }
    if let reason = unusable(device) { throw AttentionError.cannotRun(device: device.identifier, reason: reason) }
    return .openCL(device)
  }

  /// GPUs and accelerators before CPUs, then the larger.
  private static func rank(_ device: Device) -> (Int, Int) {
    let kind =
      switch device.info.kind {
      case .gpu: 3
      case .accelerator: 2
      case .other: 1
      case .cpu: 0
      }
    return (kind, device.info.computeUnits * max(1, device.info.clockMHz))
  }
}

extension Substring {
  fileprivate var trimmed: Substring {
    var text = self
    while text.first?.isWhitespace == true { text.removeFirst() }
    while text.last?.isWhitespace == true { text.removeLast() }
    return text
  }
}
