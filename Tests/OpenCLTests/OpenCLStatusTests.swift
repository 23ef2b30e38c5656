import COpenCL
import OpenCL
import Testing

@Suite("Status")
struct OpenCLStatusTests {
  @Test("names are those of the headers")
  func names() {
    #expect(OpenCLStatus.success.description == "CL_SUCCESS")
    #expect(OpenCLStatus(rawValue: CL_OUT_OF_RESOURCES) == .outOfResources)
    #expect(OpenCLStatus.outOfResources.description == "CL_OUT_OF_RESOURCES")
    #expect(OpenCLStatus(rawValue: CL_BUILD_PROGRAM_FAILURE).description == "CL_BUILD_PROGRAM_FAILURE")
    #expect(OpenCLStatus(rawValue: CL_INVALID_ARG_SIZE).description == "CL_INVALID_ARG_SIZE")
    #expect(OpenCLStatus(rawValue: CL_MAX_SIZE_RESTRICTION_EXCEEDED).description == "CL_MAX_SIZE_RESTRICTION_EXCEEDED")
    #expect(OpenCLStatus.platformNotFound.rawValue == -1001)
    #expect(OpenCLStatus.platformNotFound.description == "CL_PLATFORM_NOT_FOUND_KHR")
  }

  @Test("every number of the headers has a name, and no two share one")
  func complete() {
    for number in Array(-19...0) + Array(-72 ... -30) + [-1001] {
      #expect(OpenCLStatus.symbols[Int32(number)] != nil, "\(number)")
    }
    #expect(Set(OpenCLStatus.symbols.values).count == OpenCLStatus.symbols.count)
  }

  @Test("an unknown number is shown as it is")
  func unknown() {
    #expect(OpenCLStatus(rawValue: -4242).description == "CL error -4242")
    #expect(!OpenCLStatus(rawValue: -4242).isSuccess)
    #expect(OpenCLStatus.success.isSuccess)
  }
}
