/// What a device says of itself: plain values, so that planning can be tested on devices that are not there.
///
/// Sizes are in bytes unless they say otherwise.
public struct DeviceInfo: Sendable, Hashable {
  /// The device's name.
  public var name: String
  /// Who made it.
  public var vendor: String
  /// The vendor's number, often the PCI one.
  public var vendorID: UInt32
  /// The name of its platform.
  public var platformName: String
  /// The version of its platform, with the platform's own words.
  public var platformVersion: String
  /// "OpenCL", the version it implements, and words of its own.
  public var deviceVersion: String
  /// The driver's version, in the driver's own form.
  public var driverVersion: String
  /// "OpenCL C", the version of the language, and words of its own.
  public var openCLCVersion: String
  /// What sort of processor it is.
  public var kind: DeviceKind
  /// How many work-groups can run at once: cores, or what the vendor counts as such.
  public var computeUnits: Int
  /// The highest clock, in MHz; 0 if unknown.
  public var clockMHz: Int
  /// All memory of the device.
  public var globalMemory: Int
  /// The largest single buffer.
  public var maxAllocation: Int
  /// Local memory of one work-group.
  public var localMemory: Int
  /// Whether local memory is memory of its own; if not, it is part of global memory and no faster.
  public var localMemoryIsDedicated: Bool
  /// The largest buffer in `__constant` memory.
  public var constantBuffer: Int
  /// The most work-items of one work-group; a kernel may allow fewer.
  public var maxWorkGroupSize: Int
  /// The most work-items of one work-group along each dimension, at least three.
  public var maxWorkItemSizes: [Int]
  /// How many floats the vendor prefers in a vector.
  public var preferredVectorWidthFloat: Int
  /// How many floats a vector register holds.
  public var nativeVectorWidthFloat: Int
  /// One line of the cache of global memory; 0 if there is no cache.
  public var cacheLineBytes: Int
  /// The cache of global memory; 0 if there is none.
  public var globalCacheBytes: Int
  /// Whether the device's memory is the host's.
  public var hostUnifiedMemory: Bool
  /// The alignment of sub-buffers, in bits.
  public var memoryBaseAlignBits: Int
  /// The names of its extensions.
  public var extensions: [String]
  /// Whether it can be used.
  public var available: Bool
  /// Whether it can compile source text.
  public var compilerAvailable: Bool
  /// Whether it stores numbers with the lowest byte first.
  public var littleEndian: Bool
  /// What its single-precision arithmetic does.
  public var singleFPConfig: FloatingPointSupport
  /// The sub-group sizes a kernel may ask for (`cl_intel_required_subgroup_size`); empty if it cannot ask.
  public var requiredSubgroupSizes: [Int]
  /// What an NVIDIA GPU can do, by its maker's count: 10 · major + minor of its compute capability
  /// (`cl_nv_device_attribute_query`); nil of devices that do not say.
  public var computeCapability: Int?

  /// A description of a device that need not exist. The defaults are those of a small and plain one.
  package init(
    name: String,
    vendor: String = "",
    vendorID: UInt32 = 0,
    platformName: String = "",
    platformVersion: String = "OpenCL 1.2",
    deviceVersion: String = "OpenCL 1.2",
    driverVersion: String = "",
    openCLCVersion: String = "OpenCL C 1.2",
    kind: DeviceKind,
    computeUnits: Int,
    clockMHz: Int = 1000,
    globalMemory: Int = 1 << 30,
    maxAllocation: Int = 1 << 28,
    localMemory: Int = 32 << 10,
    localMemoryIsDedicated: Bool = true,
    constantBuffer: Int = 64 << 10,
    maxWorkGroupSize: Int = 256,
    maxWorkItemSizes: [Int] = [256, 256, 256],
    preferredVectorWidthFloat: Int = 1,
    nativeVectorWidthFloat: Int = 1,
    cacheLineBytes: Int = 64,
    globalCacheBytes: Int = 0,
    hostUnifiedMemory: Bool = false,
    memoryBaseAlignBits: Int = 1024,
    extensions: [String] = [],
    available: Bool = true,
    compilerAvailable: Bool = true,
    littleEndian: Bool = true,
    singleFPConfig: FloatingPointSupport = [.infinityAndNaN, .roundToNearest],
    requiredSubgroupSizes: [Int] = [],
    computeCapability: Int? = nil
  ) {
    self.name = name
    self.vendor = vendor
    self.vendorID = vendorID
    self.platformName = platformName
    self.platformVersion = platformVersion
    self.deviceVersion = deviceVersion
    self.driverVersion = driverVersion
    self.openCLCVersion = openCLCVersion
    self.kind = kind
    self.computeUnits = computeUnits
    self.clockMHz = clockMHz
    self.globalMemory = globalMemory
    self.maxAllocation = maxAllocation
    self.localMemory = localMemory
    self.localMemoryIsDedicated = localMemoryIsDedicated
    self.constantBuffer = constantBuffer
    self.maxWorkGroupSize = maxWorkGroupSize
    self.maxWorkItemSizes = maxWorkItemSizes
    self.preferredVectorWidthFloat = preferredVectorWidthFloat
    self.nativeVectorWidthFloat = nativeVectorWidthFloat
    self.cacheLineBytes = cacheLineBytes
    self.globalCacheBytes = globalCacheBytes
    self.hostUnifiedMemory = hostUnifiedMemory
    self.memoryBaseAlignBits = memoryBaseAlignBits
    self.extensions = extensions
    self.available = available
    self.compilerAvailable = compilerAvailable
    self.littleEndian = littleEndian
    self.singleFPConfig = singleFPConfig
    self.requiredSubgroupSizes = requiredSubgroupSizes
    self.computeCapability = computeCapability
  }
}

extension DeviceInfo {
  /// Whether the device lists an extension.
  public func supports(extension name: String) -> Bool { extensions.contains(name) }

  /// Whether kernels can compute in half precision (`cl_khr_fp16`); every device can load and store it.
  public var supportsHalfArithmetic: Bool { supports(extension: "cl_khr_fp16") }

  /// Whether the device implements at least OpenCL 1.2, the oldest version this package uses.
  public var supportsOpenCL12: Bool {
    // The text is fixed by the standard: "OpenCL <major>.<minor> <the vendor's words>".
    let words = deviceVersion.split(separator: " ")
    guard words.count >= 2, words[0] == "OpenCL" else { return false }
    let parts = words[1].split(separator: ".").map { Int($0) }
    guard parts.count == 2, let major = parts[0], let minor = parts[1] else { return false }
    return (major, minor) >= (1, 2)
  }
}
