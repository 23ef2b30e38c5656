import Attention
import Foundation
import OpenCL
import Testing

/// A device that is there and cannot do the work. PoCL can be told to have little memory: 1 GiB, a quarter of it at once.
/// (From version 7 on it may be asked for all of it at once.) As a GPU it comes before the CPU backend.
@Suite(.enabled(if: Environment.poclKeepsAllocationsSmall, "needs PoCL before version 7 and no other device"))
struct FallbackTests {
  /// One head's keys take 269 MB.
  private let problem = [
    "bench", "--json", "--heads", "1", "--query-length", "1", "--key-length", "1050000", "--dtype", "f32",
    "--repetitions", "1", "--minimum-seconds", "0", "--device",
  ]
  private let littleMemory: [String: String?] = ["POCL_MEMORY_LIMIT": "1", "ATTENTION_DEVICE_CLASS": "gpu"]

  @Test func autoDoesTheWorkOnTheCPUAndSaysWhyOnce() throws {
    let command = try Command(problem + ["auto"], environment: littleMemory)
    #expect(command.status == 0)
    #expect(command.output.contains(#""backend":"cpu""#))
    #expect(command.errors.split(separator: "\n").count == 1)
    #expect(command.errors.contains("its largest allocation is 268435456; falling back to CPU"))
  }

  @Test func aNamedDeviceIsAnError() throws {
    let command = try Command(problem + ["opencl"], environment: littleMemory)
    #expect(command.status == 3)
    #expect(command.output.isEmpty)
    #expect(command.errors.contains("its largest allocation is 268435456"))
  }
}
