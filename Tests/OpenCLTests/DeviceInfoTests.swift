import OpenCL
import Testing

@Suite("Device info")
struct DeviceInfoTests {
  @Test("of every device is plausible", .enabled(if: !devices.isEmpty, noDevice), arguments: devices)
  func plausible(device: Device) {
    let info = device.info
    #expect(!info.name.isEmpty && info.name == device.name)
    #expect(!info.vendor.isEmpty)
    #expect(info.deviceVersion.hasPrefix("OpenCL "))
    #expect(!info.driverVersion.isEmpty)
    #expect(info.openCLCVersion.hasPrefix("OpenCL C "))
    #expect((1...100_000).contains(info.computeUnits))
    #expect((0...100_000).contains(info.clockMHz))
    // The least OpenCL 1.2 demands of a full profile.
    #expect(info.globalMemory >= 64 << 20)
    #expect(info.maxAllocation >= 1 << 20 && info.maxAllocation <= info.globalMemory)
    #expect(info.localMemory >= 32 << 10)
    #expect(info.constantBuffer >= 64 << 10)
    #expect(info.maxWorkGroupSize >= 1)
    #expect(info.maxWorkItemSizes.count >= 3)
    #expect(info.maxWorkItemSizes.allSatisfy { $0 >= 1 })
    #expect((1...64).contains(info.preferredVectorWidthFloat))
    #expect((0...4096).contains(info.cacheLineBytes))
    #expect(info.globalCacheBytes >= 0)
    #expect(info.memoryBaseAlignBits >= 8 && info.memoryBaseAlignBits % 8 == 0)
    #expect(Set(info.extensions).count == info.extensions.count)
    #expect(info.extensions.allSatisfy { $0.hasPrefix("cl_") })
    #expect(info.available)
    #expect(info.compilerAvailable)
    #expect(info.littleEndian)
    #expect(info.singleFPConfig.contains([.infinityAndNaN, .roundToNearest]))
    #expect(info.requiredSubgroupSizes.isEmpty == !info.supports(extension: "cl_intel_required_subgroup_size"))
    #expect((info.computeCapability != nil) == info.supports(extension: "cl_nv_device_attribute_query"))
    if info.kind == .cpu { #expect(info.hostUnifiedMemory) }
  }

  @Test("half arithmetic follows the extension")
  func halfArithmetic() {
    var info = DeviceInfo(name: "none", kind: .gpu, computeUnits: 4)
    #expect(!info.supportsHalfArithmetic)
    info.extensions = ["cl_khr_fp64", "cl_khr_fp16"]
    #expect(info.supportsHalfArithmetic)
  }

  @Test(
    "versions from 1.2 on are supported",
    arguments: [
      ("OpenCL 1.2", true), ("OpenCL 3.0 PoCL HSTR", true), ("OpenCL 1.10 x", true), ("OpenCL 2.0 a.b", true),
      ("OpenCL 1.1 Mesa 22.3.6", false), ("OpenCL 1.0", false), ("OpenCL", false), ("", false), ("OpenCL C 1.2", false),
    ])
  func versions(text: String, supported: Bool) {
    #expect(
      DeviceInfo(name: "none", deviceVersion: text, kind: .gpu, computeUnits: 4).supportsOpenCL12 == supported)
  }
}
