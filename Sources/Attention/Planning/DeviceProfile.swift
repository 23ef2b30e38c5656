import Foundation
import OpenCL

/// What planning knows of a device: plain values, so that plans can be made and tested without one.
public struct DeviceProfile: Sendable, Equatable {
  /// How a device runs its work, which decides the shape of its kernels.
  public enum DeviceClass: String, Sendable, Hashable {
    /// Many work-items that share local memory.
    case gpu
    /// A few cores with wide vectors; a work-item is a loop iteration.
    case cpu
    /// The CPU without OpenCL: this package's own vector kernels.
    case native
    /// The float64 reference: no kernels at all.
    case reference
  }

  /// What a user names it by: `opencl:0:1`, `reference`, `cpu`.
  public var identifier: String
  public var name: String
  public var deviceClass: DeviceClass
  public var vendor: DeviceVendor
  public var computeUnits: Int
  public var clockMHz: Int

  /// Bytes of device memory, of the largest single buffer, and of a work-group's local memory.
  public var globalMemory: Int
  public var maxAllocation: Int
  public var localMemory: Int

  public var maxWorkGroupSize: Int
  /// Floats that a vector register holds; 1 where vectors are nothing special.
  public var vectorWidth: Int
  /// Sub-group sizes that a kernel can demand; empty where it cannot.
  public var requiredSubgroupSizes: [Int]
  /// The matrix units, or their emulation, by which kernels can multiply numbers of a type.
  public var matrixUnits: [ElementType: MatrixUnits]
  /// How kernels of a CPU-class device can multiply by AMX.
  public var amx: AMX
  /// Whether the device works in the host's memory, so that nothing is gained by overlapping transfers.
  public var hostUnifiedMemory: Bool

  /// What the CPU backend's kernels are compiled for; nil on other devices.
  public var instructionSet: InstructionSet?

  /// Tiles that were found best on this device.
  package var tuning = TuningTable()

  /// Tiles that a kernel turned out to be too large for on this device, once it was built.
  package var rejectedTiles: [KernelTiles] = []

  package init(
    identifier: String, name: String, deviceClass: DeviceClass, vendor: DeviceVendor = .other, computeUnits: Int = 1,
    clockMHz: Int = 1000, globalMemory: Int = .max, maxAllocation: Int = .max, localMemory: Int = 0,
    maxWorkGroupSize: Int = 1,
    vectorWidth: Int = 8, requiredSubgroupSizes: [Int] = [], matrixUnits: [ElementType: MatrixUnits] = [:],
    amx: AMX = .none, hostUnifiedMemory: Bool = true
  ) {
    self.identifier = identifier
    self.name = name
    self.deviceClass = deviceClass
    self.vendor = vendor
    self.computeUnits = computeUnits
    self.clockMHz = clockMHz
    self.globalMemory = globalMemory
    self.maxAllocation = maxAllocation
    self.localMemory = localMemory
    self.maxWorkGroupSize = maxWorkGroupSize
    self.vectorWidth = vectorWidth
    self.requiredSubgroupSizes = requiredSubgroupSizes
    self.matrixUnits = matrixUnits
    self.amx = amx
    self.hostUnifiedMemory = hostUnifiedMemory
  }

  /// The profile of the CPU backend: a thread is a compute unit.
  package init(_ set: InstructionSet, identifier: String, threads: Int) {
    self.init(
      identifier: identifier, name: "CPU, \(set.rawValue)", deviceClass: .native, computeUnits: threads, clockMHz: 3000,
      globalMemory: Int(clamping: ProcessInfo.processInfo.physicalMemory),
      vectorWidth: set.kernels.map { Int($0.pointee.lanes) } ?? 1)
    instructionSet = set
  }

  /// The profile of an OpenCL device. `ATTENTION_DEVICE_CLASS` set to `gpu` or `cpu` takes the place of the device's
  /// own class, so that each family of kernels can be tried on any device. `ATTENTION_MATRIX_UNITS` set to `off` leaves the
  /// matrix units of a device, and AMX, out of account; set to a kind, such as `mma`, it gives that kind to devices of other
  /// vendors, or `amx` to CPUs that are without, in OpenCL C, which is slow.
  package init(_ device: Device) {
    let info = device.info
    let vendor = DeviceVendor(info)
    self.init(
      identifier: device.identifier, name: info.name,
      deviceClass: Self.forcedClass ?? DeviceClass(info), vendor: vendor,
      computeUnits: info.computeUnits,
      clockMHz: info.clockMHz,
      globalMemory: info.globalMemory, maxAllocation: info.maxAllocation, localMemory: info.localMemory,
      maxWorkGroupSize: min(info.maxWorkGroupSize, info.maxWorkItemSizes.first ?? 1),
      vectorWidth: info.nativeVectorWidthFloat, requiredSubgroupSizes: info.pinnableSubgroupSizes,
      matrixUnits: Self.matrixUnits(MatrixUnits.of(info, vendor: vendor), vendor), amx: Self.amx(AMX.of(info)),
      hostUnifiedMemory: info.hostUnifiedMemory)
  }

  /// A device's own matrix units, unless `ATTENTION_MATRIX_UNITS` says otherwise. (A vendor's compiler has no words for those
  /// of its other devices, and is not asked for them.)
  private static func matrixUnits(
    _ own: [ElementType: MatrixUnits], _ vendor: DeviceVendor
  ) -> [ElementType: MatrixUnits] {
    guard let value = ProcessInfo.processInfo.environment["ATTENTION_MATRIX_UNITS"] else { return own }
    if value == "off" { return [:] }
    guard let kind = MatrixUnits(rawValue: value), kind.vendor != vendor else { return own }
    return MatrixUnits.all(kind)
  }

  private static func amx(_ own: AMX) -> AMX {
    switch ProcessInfo.processInfo.environment["ATTENTION_MATRIX_UNITS"] {
    case "off": .none
    case "amx": own == .none ? .emulated : own
    default: own
    }
  }

  /// Whoever misspells what is to be tried should not go on in the belief that it was.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where `ATTENTION_DEVICE_CLASS` or `ATTENTION_MATRIX_UNITS`
  ///   has a value without a meaning.
  static func checkEnvironment() throws {
    let meanings = [
      ("ATTENTION_DEVICE_CLASS", ["cpu", "gpu"]),
      ("ATTENTION_MATRIX_UNITS", ["off", "amx"] + MatrixUnits.allCases.map(\.rawValue)),
    ]
    for (name, values) in meanings {
      guard let value = ProcessInfo.processInfo.environment[name], !value.isEmpty, !values.contains(value) else {
        continue
      }
      throw AttentionError.invalid(argument: name, found: value, expected: values.joined(separator: ", "))
    }
  }

  /// What `ATTENTION_DEVICE_CLASS` says.
  static var forcedClass: DeviceClass? {
    switch ProcessInfo.processInfo.environment["ATTENTION_DEVICE_CLASS"] {
    case "gpu": .gpu
    case "cpu": .cpu
    default: nil
    }
  }

  /// Whether it is OpenCL that computes there.
  package var isOpenCL: Bool {
    switch deviceClass {
    case .gpu, .cpu: true
    case .native, .reference: false
    }
  }

  /// The compute units that planning reckons with: one at least, and no more than any device has.
  var units: Int { min(max(1, computeUnits), 1 << 20) }

  /// A guess at relative speed, for dividing heads between devices: cores × clock × what a core of the class does.
  package var relativeSpeed: Double {
    let lanes: Double =
      switch deviceClass {
      case .gpu: 64
      case .cpu: 16
      case .native: 2 * Double(vectorWidth)
      case .reference: 0.5
      }
    return Double(units) * Double(max(1, clockMHz)) * lanes
  }
}

extension DeviceProfile.DeviceClass {
  /// How an OpenCL device runs its work. Mesa's rusticl does so on a processor as on a GPU: a work-item is one of a vector's
  /// lanes (and the kernels for CPUs, of more than one tile of keys, come out wrong there).
  package init(_ info: DeviceInfo) {
    self = info.kind == .cpu && info.platformName != "rusticl" ? .cpu : .gpu
  }
}
