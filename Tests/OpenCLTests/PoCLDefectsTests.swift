import OpenCL
import Testing

struct PoCLDefectsTests {
  @Test(arguments: [("3.1+debian", 3), ("7.1+debian", 7), ("10.0", 10), ("", nil)] as [(String, Int?)])
  func theMajorVersionIsRead(driver: String, version: Int?) {
    let device = DeviceInfo(
      name: "", platformName: "Portable Computing Language", driverVersion: driver, kind: .cpu, computeUnits: 1)
    #expect(PoCLDefects.version(device) == version)
  }

  @Test func otherPlatformsHaveNone() {
    let device = DeviceInfo(
      name: "", platformName: "NVIDIA CUDA", driverVersion: "580.159", kind: .gpu, computeUnits: 1)
    #expect(PoCLDefects.version(device) == nil)
  }
}
