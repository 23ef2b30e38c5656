import Foundation
import Testing

@Suite struct PlanTests {
  @Test func textAndJSONTellTheSamePlan() throws {
    let shape = ["--heads", "4", "--query-length", "256", "--dtype", "f16", "--causal", "--device", "auto"]
    let text = try Command(["plan"] + shape)
    #expect(text.status == 0)
    #expect(text.output.contains("heads 0 to 3"))

    let json = try Command(["plan", "--json"] + shape)
    #expect(json.status == 0)
    let plan = try #require(try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
    // 4 heads × (256 · 257 / 2) pairs × 2 · (64 + 64).
    #expect(plan["flops"] as? Int == 4 * 256 * 257 / 2 * 256)
    let parts = try #require(plan["parts"] as? [[String: Any]])
    #expect(parts.compactMap { $0["head_count"] as? Int }.reduce(0, +) == 4)
    #expect(parts[0]["kernel"] as? String == "fused")
  }

  @Test func matrixUnitsAreNamed() throws {
    let there = try Command(["plan", "--as-gpu", "sm_90", "--dtype", "f16"])
    #expect(there.output.contains("4 warps of 32, matrix units (mma)"))
    let float32 = try Command(["plan", "--as-gpu", "sm_90", "--dtype", "f32"])
    #expect(float32.status == 0 && !float32.output.contains("matrix units"))
  }

  @Test(.enabled(if: Environment.hasOpenCLDevice), arguments: [("wmma", true), ("off", false)])
  func matrixUnitsByTheEnvironment(value: String, areUsed: Bool) throws {
    let command = try Command(
      ["plan", "--device", "opencl", "--dtype", "f16"],
      environment: ["ATTENTION_DEVICE_CLASS": "gpu", "ATTENTION_MATRIX_UNITS": value])
    #expect(command.status == 0)
    #expect(command.output.contains("matrix units") == areUsed)
  }

  @Test func plansForGPUsThatAreNotHere() throws {
    let command = try Command([
      "plan", "--as-gpu", "pvc", "--json", "--query-length", "64", "--dtype", "f16", "--kernel", "staged", "--outputs",
      "output,received",
    ])
    #expect(command.status == 0)
    let plan = try #require(try JSONSerialization.jsonObject(with: Data(command.output.utf8)) as? [String: Any])
    let part = try #require((plan["parts"] as? [[String: Any]])?.first)
    #expect(part["device"] as? String == "pvc")
    let programs = try #require(part["programs"] as? [[String: Any]])
    #expect(
      programs.compactMap { $0["kernels"] as? [String] } == [
        ["scores", "softmax_parts", "softmax_normalize", "weighted_values"], ["top_keys", "received"],
      ])
    for program in programs {
      let options = try #require(program["options"] as? [String])
      // Sub-groups of 16 are the smallest that the device has.
      #expect(Set(["-DSTORAGE=1", "-DALIGNED", "-DSUBGROUP=16"]).isSubset(of: options))
    }
  }

  @Test func plansCachesAndLayersForGPUsThatAreNotHere() throws {
    let command = try Command([
      "plan", "--as-gpu", "dg2", "--json", "--query-length", "1", "--key-length", "64", "--heads", "8", "--kv-heads",
      "2",
      "--dtype", "f16", "--kv-type", "q8_0", "--weights", "q4_0",
    ])
    #expect(command.status == 0)
    let plan = try #require(try JSONSerialization.jsonObject(with: Data(command.output.utf8)) as? [String: Any])
    let programs = try #require((plan["parts"] as? [[String: Any]])?.first?["programs"] as? [[String: Any]])
    let options = Dictionary(
      uniqueKeysWithValues: programs.compactMap { program -> (String, [String])? in
        guard let kernel = (program["kernels"] as? [String])?.first else { return nil }
        return (kernel, program["options"] as? [String] ?? [])
      })
    #expect(Set(options.keys) == ["decode_gpu", "merge_pieces", "append_rows", "gather_rows", "rotate_rows", "linear"])
    // Float16 queries, a cache in q8_0, four heads that share a key, sub-groups of 8.
    let decode = Set(["-DSTORAGE=1", "-DROW_STORAGE=3", "-DROWS=4", "-DALIGNED", "-DSUBGROUP=8"])
    #expect(decode.isSubset(of: options["decode_gpu"] ?? []))
    #expect(options["linear"]?.contains("-DWEIGHTS=4") == true)
  }

  @Test func cachesAndLayersArePlannedForGPUsAlone() throws {
    for arguments in [
      ["plan", "--kv-type", "f32"], ["plan", "--weights", "f32"], ["plan", "--as-gpu", "sm_80", "--weights", "f32"],
    ] {
      let command = try Command(arguments)
      #expect(command.status != 0)
      #expect(command.errors.contains("beside it"))
    }
  }

  @Test func anUnknownGPUIsWrongUsage() throws {
    let unknown = try Command(["plan", "--as-gpu", "abacus"])
    #expect(unknown.status == 2)
    #expect(unknown.errors.contains("abacus") && unknown.errors.contains("sm_80"))
    #expect(try Command(["plan", "--as-gpu", "sm_80", "--device", "cpu"]).status == 2)
  }

  @Test func valuesSeparatedByCommasMakeAGrid() throws {
    let command = try Command(["plan", "--json", "--query-length", "16,32", "--dtype", "f32,bf16", "--device", "cpu"])
    #expect(command.lines.count == 4)
  }

  @Test func theCPUsPlanNamesItsInstructionSetAndPasses() throws {
    let shape = ["--device", "cpu:baseline", "--key-length", "600", "--head-dimension", "64", "--dtype", "f32"]
    let command = try Command(["plan", "--query-length", "1,600"] + shape, environment: ["ATTENTION_THREADS": "3"])
    #expect(command.status == 0, "\(command.errors)")
    #expect(command.lines.contains { $0.contains("decode: baseline, tiles") })
    #expect(command.lines.contains { $0.contains("fused: baseline, tiles") })
    #expect(command.lines.count { $0.contains("3 threads") } == 2)
  }

  @Test(arguments: [["plan", "--as-gpu", "sm_90"], ["bench", "--device", "cpu"]])
  func cachesThatCannotBeMadeAreRefused(command: [String]) throws {
    for dimension in ["--head-dimension", "--value-dimension"] {
      let refused = try Command(command + ["--kv-type", "f16,q8_0", "--query-length", "1", dimension, "40"])
      #expect(refused.status == 2)
      #expect(refused.errors == "attend: dimension: expected a multiple of 32 for q8_0, found 40\n")
    }
  }
}
