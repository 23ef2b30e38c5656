import Foundation
import Testing

@Suite struct BenchTests {
  private static let keys = [
    "backend", "batch", "bytes", "call_overhead_seconds", "causal", "device", "device_bytes_peak", "device_name",
    "dtype", "end_to_end_seconds_median", "flops", "gflops", "gigabytes_per_second", "head_dimension", "heads",
    "kernel", "kernel_build_seconds", "kernel_seconds_median", "kernel_seconds_min", "key_length", "key_lengths",
    "kv_heads", "kv_type", "max_abs_error", "query_length", "repetitions", "speedup_vs_cpu", "value_dimension",
    "window",
  ]

  private func rows(_ command: Command) throws -> [[String: Any]] {
    try command.lines.map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
  }

  private let shape = ["--heads", "2", "--query-length", "65", "--repetitions", "2", "--minimum-seconds", "0"]

  @Test func eachDeviceAndShapeIsARow() throws {
    let command = try Command(["bench", "--json", "--causal", "--window", "16,none"] + shape)
    #expect(command.status == 0, "\(command.errors)")
    let rows = try rows(command)
    #expect(rows.count == (Environment.hasOpenCLDevice ? 6 : 3))
    #expect(Set(rows.compactMap { $0["dtype"] as? String }) == ["f32", "f16", "bf16"])
    for row in rows {
      #expect(row.keys.sorted() == Self.keys)
      let error = try #require(row["max_abs_error"] as? Double)
      #expect(error >= 0 && error < 0.05)
      #expect(try #require(row["kernel_seconds_median"] as? Double) > 0)
      #expect(row["repetitions"] as? Int == 2)
      // (The reference has no kernels to take it over.)
      #expect(row["call_overhead_seconds"] is NSNull || row["backend"] as? String == "opencl")
      #expect(row["speedup_vs_cpu"] is Double || row["speedup_vs_cpu"] is Int)
      // 2 heads × (16·17/2 + 49·17) pairs × 256.
      #expect(row["flops"] as? Int == 2 * (16 * 17 / 2 + 49 * 17) * 256)
    }
  }

  @Test(.enabled(if: Environment.hasOpenCLDevice, "no OpenCL device"))
  func raggedBatchesAndCaches() throws {
    let shape = [
      "--heads", "4", "--kv-heads", "2", "--head-dimension", "32", "--key-lengths", "40,0,300", "--dtype", "f32",
      "--repetitions", "2", "--minimum-seconds", "0", "--device", "opencl",
    ]
    let plain = try Command(["bench", "--json", "--kernel", "decode"] + shape)
    #expect(plain.status == 0, "\(plain.errors)")
    let row = try #require(try rows(plain).first)
    #expect(row["key_lengths"] as? [Int] == [40, 0, 300])
    #expect(row["batch"] as? Int == 3)
    #expect(row["query_length"] as? Int == 1)
    #expect(row["kernel"] as? String == "decode")
    // Four heads on 340 keys.
    #expect(row["flops"] as? Int == 4 * 340 * 128)

    let caches = try Command(["bench", "--json", "--kv-type", "f32,f16,bf16,q8_0,q4_0"] + shape)
    #expect(caches.status == 0, "\(caches.errors)")
    let types = try rows(caches)
    #expect(types.map { $0["kv_type"] as? String } == ["f32", "f16", "bf16", "q8_0", "q4_0"])
    // Queries and output, and for each of 680 rows twice 32 elements.
    let bytes = [256, 128, 128, 68, 36].map { 3 * 4 * 64 * 4 + 680 * $0 }
    #expect(types.map { $0["bytes"] as? Int } == bytes)

    for sizes in [["40"], ["64", "--value-dimension", "40"]] {
      let odd = try Command(
        ["bench", "--device", "cpu", "--query-length", "1", "--kv-type", "q8_0", "--head-dimension"] + sizes)
      #expect(odd.status == 2)
      #expect(odd.errors.contains("a multiple of 32"))
    }

    let both = try Command(["bench", "--batch", "2"] + shape)
    #expect(both.status == 2)
    #expect(both.errors.contains("--key-lengths"))
  }

  @Test(arguments: [
    ["--batch", "0"], ["--heads", "0"], ["--kv-heads", "0"], ["--query-length", "4,0"], ["--key-length", "0"],
    ["--head-dimension", "0"], ["--value-dimension", "0"], ["--key-lengths", "0,0"],
  ])
  func nothingToComputeIsWrongUsage(options: [String]) throws {
    for name in ["bench", "tune"] {
      let command = try Command([name] + options)
      #expect(command.status == 2)
      #expect(command.output.isEmpty)
      #expect(command.errors.hasPrefix("Error: \(options[0]): expected "))
      #expect(command.errors.contains("Usage: attend \(name) "))
    }
  }

  @Test func withoutOpenCLAutoUsesTheCPUAndSaysSo() throws {
    let folder = try TemporaryFolder()
    let command = try Command(
      ["bench", "--json", "--dtype", "f32"] + shape, environment: Environment.withoutOpenCL(folder))
    #expect(command.status == 0, "\(command.errors)")
    #expect(try rows(command).map { $0["backend"] as? String } == ["cpu"])
    #expect(command.errors.contains("falling back to the CPU"))
  }

  @Test(.enabled(if: Environment.hasOpenCLDevice, "no OpenCL device"))
  func devicesJoinedByACommaDivideTheHeads() throws {
    let command = try Command(["bench", "--json", "--dtype", "f32", "--device", "opencl,cpu"] + shape)
    #expect(command.status == 0, "\(command.errors)")
    let rows = try rows(command)
    #expect(rows.map { $0["backend"] as? String } == ["opencl,cpu"])
    #expect(rows[0]["speedup_vs_cpu"] is NSNull)
  }
}
