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
        ["scores", "softmax_parts", "softmax_normalize", "weighted_values"], ["row_terms", "top_keys", "received"],
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
    #expect(unknown.errors.contains("Usage: attend plan "))
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
    let one = try Command(["plan", "--query-length", "9"] + shape, environment: ["ATTENTION_THREADS": "1"])
    #expect(one.output.contains("    1 thread, "))
    #expect(one.output.contains(", in 1 block\n"))
  }

  private struct Split: Decodable, Equatable {
    let keyLength, pieces, pieceKeys: Int
  }

  private struct Row: Decodable {
    struct Part: Decodable {
      struct Tiles: Decodable { let keys: Int }
      let tiles: Tiles?
      let keySplits: [Split]?
    }
    let operandBytes: Double?
    let parts: [Part]

    init(_ line: String) throws {
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      self = try decoder.decode(Row.self, from: Data(line.utf8))
    }

    enum CodingKeys: CodingKey { case operandBytes, parts }
  }

  @Test func decodingShowsTheSplitOfKeys() throws {
    let shape = ["--heads", "4", "--dtype", "f32"]
    func row(_ options: [String]) throws -> Row {
      try Row(try Command(["plan", "--json"] + shape + options).output)
    }
    // The CPU backend's pieces are its tiles.
    let few = ["--query-length", "2", "--key-length", "1000", "--device", "cpu"]
    let cpu = try #require(try row(few).parts.first)
    let keys = try #require(cpu.tiles?.keys)
    let split = Split(keyLength: 1000, pieces: (1000 + keys - 1) / keys, pieceKeys: keys)
    #expect(cpu.keySplits == [split])
    let text = try Command(["plan"] + shape + few)
    let pieces = split.pieces == 1 ? "1 piece" : "\(split.pieces) pieces"
    #expect(text.output.contains("    keys of a head: 1000 in \(pieces) of \(keys)\n"))
    // Of a window, only pieces that are seen: here the last two keys.
    #expect(try row(few + ["--window", "0,0"]).parts[0].keySplits?.first?.pieces == 1)
    #expect(try row(["--query-length", "17", "--device", "cpu"]).parts[0].keySplits == nil)

    // On a GPU that is not here it is not known.
    #expect(try row(["--as-gpu", "sm_90", "--query-length", "1"]).parts[0].keySplits == nil)
    guard Environment.hasOpenCLDevice else { return }
    let ragged = ["--device", "opencl", "--query-length", "1", "--key-lengths", "65536,0,65536"]
    let splits = try #require(try row(ragged).parts[0].keySplits)
    #expect(splits.map(\.keyLength) == [65536, 0])
    #expect(splits[0].pieces > 1 && splits[0].pieces * splits[0].pieceKeys == 65536 && splits[1].pieces == 0)
    let words = "    keys of a head: 65536 in \(splits[0].pieces) pieces of \(splits[0].pieceKeys), 0 in 0 pieces of "
    #expect(try Command(["plan"] + shape + ragged).output.contains(words))
  }

  /// 16 rows of queries and 32 of keys and values, of 4 numbers each; 256 scores.
  @Test(arguments: [
    ("output", 1536), ("weights", 2304), ("weights,scores,log_sum_exp", 3392), ("output,top_keys,received", 2688),
  ])
  func operandsCountTheResultsThatAreAskedFor(outputs: String, bytes: Double) throws {
    let shape = [
      "plan", "--device", "reference", "--heads", "2", "--query-length", "8", "--key-length", "16", "--head-dimension",
      "4", "--dtype", "f32", "--outputs", outputs,
    ]
    #expect(try Row(try Command(shape + ["--json"]).output).operandBytes == bytes)
    #expect(try Command(shape).output.contains("operands and results "))
  }

  @Test func largeNumbersHaveLargeUnits() throws {
    let most = "\((1 << 28) - 1)"
    let command = try Command([
      "plan", "--device", "reference", "--heads", "1", "--query-length", most, "--key-length", most, "--outputs",
      "weights,scores", "--dtype", "f32",
    ])
    #expect(command.status == 0, "\(command.errors)")
    #expect(command.output.contains(", 18.4 EFLOP, operands and results 512 PiB\n"))
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
