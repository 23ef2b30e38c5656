import OpenCL

/// Which devices to compute on, as users name them.
public enum DeviceSelection: Sendable, Hashable {
  /// A GPU or accelerator; without one, the CPU backend. Whatever fails is passed over.
  case auto
  /// These and no others; several divide the heads between them.
  case named([String])

  /// Reads `auto`, or names separated by commas: `reference`, `cpu`, `cpu:` and an instruction set (`cpu:avx2`), `opencl`,
  /// `opencl:P:D`, or a part of a device's or platform's name.
  public init(_ text: String) {
    let names = text.split(separator: ",").map { String($0.trimmed) }.filter { !$0.isEmpty }
    self = names.isEmpty || names == ["auto"] ? .auto : .named(names)
  }
}

/// A device that plans can name: an OpenCL device, the CPU backend, or the reference.
package enum Backend: Sendable, Hashable {
  case reference
  case cpu(InstructionSet, identifier: String)
  case openCL(Device)

  package var identifier: String {
    switch self {
    case .reference: "reference"
    case .cpu(_, let identifier): identifier
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

  /// The backends to try under `auto`, in order: GPUs and accelerators, the CPU backend, and then what OpenCL makes of the
  /// CPU, which is slower (Benchmarks/README.md says on what).
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a wrong `ATTENTION_ISA`.
  package static func automatic(notice: (String) -> Void) throws -> [Backend] {
    let cpu = Backend.cpu(try InstructionSet.standard(), identifier: "cpu")
    do {
      let devices = try openCLDevices().filter { unusable($0) == nil }
      if devices.isEmpty { notice("no OpenCL device; falling back to the CPU") }
      let isCPU = { (device: Device) in device.info.kind == .cpu && DeviceProfile.forcedClass != .gpu }
      return devices.filter { !isCPU($0) }.map(Backend.openCL) + [cpu] + devices.filter(isCPU).map(Backend.openCL)
    } catch {
      notice("OpenCL cannot be used (\(error)); falling back to the CPU")
      return [cpu]
    }
  }

  /// Whether OpenCL has a device that can be used.
  package static var hasUsableOpenCLDevice: Bool {
    guard let devices = try? openCLDevices() else { return false }
    return devices.contains { unusable($0) == nil }
  }

  /// The backend that a name stands for.
  ///
  /// - Throws: ``AttentionError/noDevice(requested:available:)`` where none does,
  ///   ``AttentionError/cannotRun(device:reason:)`` where the one that does is unusable, and
  ///   ``AttentionError/invalid(argument:found:expected:)`` for an instruction set that this processor lacks.
  package static func backend(named name: String) throws -> Backend {
    let wanted = name.lowercased()
    if wanted == "reference" { return .reference }
    if wanted == "cpu" { return .cpu(try InstructionSet.standard(), identifier: wanted) }
    if wanted.hasPrefix("cpu:") {
      return .cpu(try InstructionSet(named: String(wanted.dropFirst(4)), argument: "device"), identifier: wanted)
    }
    let devices = try openCLDevices()
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
