import OpenCL
import Testing

@Suite("Discovery")
struct DiscoveryTests {
  @Test("platforms are listed in order, each with what it says of itself")
  func platforms() throws {
    for (index, platform) in try Platform.all().enumerated() {
      #expect(platform.index == index)
      #expect(!platform.name.isEmpty)
      #expect(!platform.vendor.isEmpty)
      #expect(platform.version.hasPrefix("OpenCL "))
      #expect(platform.failure == nil)
      for (place, device) in platform.devices.enumerated() {
        #expect(device.identifier == "opencl:\(index):\(place)")
        #expect(device.info.platformName == platform.name)
        #expect(device.info.platformVersion == platform.version)
      }
    }
  }

  @Test("identifiers tell devices apart")
  func identifiers() throws {
    let devices = try Device.all()
    #expect(Set(devices.map(\.identifier)).count == devices.count)
    #expect(Set(devices).count == devices.count)
  }

  @Test("many threads see the same devices")
  func threads() async throws {
    let expected = try Device.all()
    await withTaskGroup(of: [Device].self) { group in
      for _ in 0..<8 { group.addTask { (try? Device.all()) ?? [] } }
      for await found in group { #expect(found == expected) }
    }
  }
}
