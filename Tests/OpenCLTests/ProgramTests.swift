import OpenCL
import Testing

extension OnDevices {
  @Suite("Program")
  struct ProgramTests {
    @Test("adds vectors of awkward lengths", arguments: devices, [1, 63, 64, 1000])
    func addsVectors(device: Device, count: Int) throws {
      let program = try Program(Context(device), sources: [], text: addition, cache: .none)
      #expect(!program.builtFromCache)
      #expect(program.buildSeconds > 0)
      let a = (0..<count).map { Float($0) * 0.5 }
      let b = (0..<count).map { Float(1000 - $0) }
      #expect(try add(a, b, with: program) == zip(a, b).map { $0 + $1 })
    }

    @Test("a failed build carries the log and the device's name", arguments: devices)
    func failedBuild(device: Device) throws {
      let context = try Context(device)
      let failure = error {
        _ = try Program(
          context, sources: ["common"], text: "\nkernel void f() { undeclared_name = 1; }", options: "-D SIZE=4",
          cache: .none)
      }
      let found = try #require(failure)
      #expect(found.isBuildFailure)
      #expect(found.call == "clBuildProgram")
      #expect(found.device == device.name)
      #expect(found.detail == "common + text, options '-D SIZE=4'")
      let log = try #require(found.log)
      #expect(log.contains("undeclared_name"))
      // The file and the line within it, whatever precedes it. Oclgrind's and NVIDIA's messages do not heed #line.
      if !["Oclgrind", "NVIDIA CUDA"].contains(device.info.platformName) { #expect(log.contains("text.cl:2")) }
      #expect("\(found)".contains(log))
    }

    @Test("options reach the compiler", arguments: devices)
    func options(device: Device) throws {
      let text = """
        #ifndef WANTED
        #error WANTED is missing
        #endif
        kernel void f() {}
        """
      let context = try Context(device)
      let failure = error { _ = try Program(context, sources: [], text: text, cache: .none) }
      #expect(failure?.isBuildFailure == true)
      _ = try Program(context, sources: [], text: text, options: "-D WANTED=1", cache: .none)
    }

    @Test("an unknown source is named", arguments: devices)
    func unknownSource(device: Device) throws {
      let context = try Context(device)
      let failure = error { _ = try Program(context, sources: ["no-such"], cache: .none) }
      #expect(failure?.status == .invalidValue)
      #expect(failure?.detail?.contains("no-such") == true)
      let nothing = error { _ = try Program(context, sources: [], cache: .none) }
      #expect(nothing?.status == .invalidValue)
    }
  }
}

@Suite("Kernel sources")
struct KernelSourceTests {
  @Test("are carried under their names")
  func carried() {
    #expect(KernelSource.names.contains("common"))
    #expect(Set(KernelSource.names).count == KernelSource.names.count)
    for name in KernelSource.names {
      #expect(KernelSource.text(named: name)?.isEmpty == false, "\(name)")
    }
    #expect(KernelSource.text(named: "no-such") == nil)
  }
}
