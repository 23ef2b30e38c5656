import OpenCL
import Testing

@Suite("Error")
struct OpenCLErrorTests {
  @Test("one line says call, status, device and detail")
  func oneLine() {
    let error = OpenCLError(call: "clCreateBuffer", status: .outOfResources, device: "box", detail: "8 bytes")
    #expect("\(error)" == "clCreateBuffer: CL_OUT_OF_RESOURCES on box: 8 bytes")
    #expect("\(OpenCLError(call: "clFinish", status: .invalidValue))" == "clFinish: CL_INVALID_VALUE")
  }

  @Test("the log stands below the line")
  func logBelow() {
    let error = OpenCLError(call: "clBuildProgram", status: .buildProgramFailure, log: "common.cl:3: no\nmore")
    #expect("\(error)" == "clBuildProgram: CL_BUILD_PROGRAM_FAILURE\ncommon.cl:3: no\nmore")
  }

  @Test(
    "short memory",
    arguments: [OpenCLStatus.memObjectAllocationFailure, .outOfResources, .outOfHostMemory, .invalidBufferSize])
  func shortMemory(status: OpenCLStatus) {
    #expect(OpenCLError(call: "", status: status).isOutOfMemory)
    #expect(!OpenCLError(call: "", status: status).isBuildFailure)
  }

  @Test("failed builds")
  func failedBuilds() {
    #expect(OpenCLError(call: "", status: .buildProgramFailure).isBuildFailure)
    #expect(OpenCLError(call: "", status: .compilerNotAvailable).isBuildFailure)
    #expect(!OpenCLError(call: "", status: .invalidValue).isBuildFailure)
    #expect(!OpenCLError(call: "", status: .buildProgramFailure).isOutOfMemory)
  }
}
