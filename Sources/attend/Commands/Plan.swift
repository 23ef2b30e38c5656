import ArgumentParser
import Attention
import AttentionModels
import TensorFiles

struct Plan: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what would be done with a problem, without doing it.",
    discussion: """
      Device, kernels, tiles and where they are from, the split of heads and queries, and bytes of device memory.
      \(ShapeOptions.grids) Without lengths: 1024 queries and keys.
      """)

  @OptionGroup var shapes: ShapeOptions

  @Option(
    help: ArgumentHelp(
      "With --as-gpu: plan attention over a key/value cache in this storage.", valueName: "type"))
  var kvType: List<KVCacheStorage>?

  @OptionGroup var device: DeviceOption
  @OptionGroup var kernel: KernelOption

  @Option(
    help: ArgumentHelp(
      "Plan for a GPU that is not here: \(Self.models).",
      valueName: "model"))
  var asGpu: String?

  @Option(
    help: ArgumentHelp(
      "The results asked for: \(AttentionOutputs.fileNames.joined(separator: ", ")). Default: output.",
      valueName: "name,…"))
  var outputs: List<OutputName>?

  @Option(
    help: ArgumentHelp(
      "With --kv-type: also plan the layers of a model whose weights are f32, f16, bf16, q8_0, q4_0 or q4_1.",
      valueName: "type"))
  var weights: WeightType?

  @Flag(help: "Print one JSON object a problem, with the programs that each device builds.")
  var json = false

  func validate() throws {
    for (option, isGiven) in [("--kv-type", kvType != nil), ("--weights", weights != nil)] where isGiven {
      guard asGpu != nil else {
        throw ValidationError("\(option): expected --as-gpu beside it; 'attend bench' makes caches and runs models.")
      }
    }
    guard weights == nil || kvType != nil else {
      throw ValidationError("--weights: expected --kv-type beside it: a model attends to a cache.")
    }
  }

  mutating func run() throws {
    let planner = try planner()
    let outputs = outputs.map { AttentionOutputs($0.values.map(\.option)) } ?? .output
    for shape in try shapes.shapes(defaultLengths: [1024], kvTypes: kvType) {
      let problem = try shape.problem(outputs: outputs)
      if let storage = shape.kvType {
        try show(cache: storage, shape, problem)
        continue
      }
      let plan = try planner(problem)
      if json {
        try Console.write(JSON.line(PlanRow(shape, problem, plan)))
      } else {
        try Console.write(Self.text(shape, problem, plan))
      }
    }
  }

  /// What a GPU that is not here builds for a cache, and for the layers of a model beside it.
  private func show(cache storage: KVCacheStorage, _ shape: Shape, _ problem: AttentionProblem) throws {
    let model = try model()
    let cache = try CachePrograms(problem, storage, on: model)
    let layers = try weights.map { try LayerProgram.candidates(weights: $0.ggufType, on: model).first?.program }
    let programs = cache.programs + [layers].compactMap { $0 ?? nil }
    guard !json else {
      try Console.write(JSON.line(CacheRow(shape, model, cache.tiles, programs)))
      return
    }
    let kernels = programs.flatMap(\.kernels).joined(separator: ", ")
    try Console.write(
      "\(shape.title):\n  \(model.identifier) (\(model.name)): decode: tiles \(cache.tiles)\n    kernels \(kernels)")
  }

  private func model() throws -> DeviceProfile {
    guard device.device == nil else { throw ValidationError("--as-gpu takes the place of --device: give one of them") }
    guard let model = DeviceProfile.gpuModels.first(where: { $0.identifier == asGpu }) else {
      throw ValidationError("--as-gpu: expected one of \(Self.models), found '\(asGpu ?? "")'")
    }
    return model
  }

  private static var models: String { DeviceProfile.gpuModels.map(\.identifier).joined(separator: ", ") }

  /// What makes the plans: the engine of the devices that are here, or the planner alone for one that is not.
  private func planner() throws -> (AttentionProblem) throws -> AttentionPlan {
    guard asGpu != nil else {
      let engine = try device.engine(kernel: kernel.kernel)
      return { try engine.plan($0) }
    }
    let model = try model()
    let choice = kernel.kernel
    return { try AttentionPlan($0, devices: [model], kernel: choice) }
  }

  private static func text(_ shape: Shape, _ problem: AttentionProblem, _ plan: AttentionPlan) -> String {
    var lines = [
      "\(shape.title): \(problem.visiblePairs) visible pairs, "
        + "\(Quantity.rounded(problem.floatingPointOperations / 1e9)) GFLOP, "
        + "operands and output \(Quantity.bytes(problem.operandBytes))"
    ]
    for part in plan.parts {
      lines.append("  \(part.device.identifier) (\(part.device.name)): heads \(part.heads.text)")
      switch part.work {
      case .reference: lines.append("    reference: float64, one query at a time")
      case .cpu(let cpu):
        lines.append("    \(cpu.kernelName): \(cpu.instructionSet.rawValue), tiles \(cpu.tileRows)×\(cpu.tileKeys)")
        lines.append(
          "    \(cpu.threads) threads, memory beside the tensors at most \(Quantity.bytes(cpu.scratchBytes)), in "
            + "\(cpu.blocks.count) blocks")
      case .kernels(let kernels):
        lines.append(
          "    \(kernels.tiles.kernel.rawValue): tiles \(kernels.tiles)\(kernels.aligned ? ", aligned" : ""), "
            + (kernels.tilesAreTuned ? "tuned" : "from the table"))
        lines.append(
          "    device memory at most \(Quantity.bytes(kernels.peakBytes)), in \(kernels.blocks.count) blocks:")
        for (block, count) in runs(of: kernels.blocks) {
          lines.append(
            "      \(count) × \(block.heads.count) heads, \(block.slices.count) slices of \(block.sliceRows) queries, "
              + "operands \(Quantity.bytes(block.operandBytes)), scratch \(Quantity.bytes(block.scratchBytes))")
        }
      }
    }
    return lines.joined(separator: "\n")
  }

  /// Neighbouring blocks that differ only in which heads they are.
  private static func runs(of blocks: [DevicePlan.Block]) -> [(DevicePlan.Block, Int)] {
    var runs: [(DevicePlan.Block, Int)] = []
    for block in blocks {
      if let (last, count) = runs.last, last.heads.count == block.heads.count, last.sliceRows == block.sliceRows,
        last.scoreStride == block.scoreStride
      {
        runs[runs.count - 1].1 = count + 1
      } else {
        runs.append((block, 1))
      }
    }
    return runs
  }
}

/// A program as JSON.
private struct ProgramRow: Encodable {
  var kernels: [String]
  var sources: [String]
  var options: [String]

  init(_ program: KernelProgram) {
    kernels = program.kernels
    sources = program.sources
    options = program.options
  }
}

/// What a device builds for a cache as JSON.
private struct CacheRow: Encodable {
  struct Part: Encodable {
    var device: String
    var deviceName: String
    var kernel = "decode"
    var tiles: String
    var programs: [ProgramRow]
  }

  var problem: String
  var parts: [Part]

  init(_ shape: Shape, _ device: DeviceProfile, _ tiles: String, _ programs: [KernelProgram]) {
    problem = shape.title
    parts = [
      Part(
        device: device.identifier, deviceName: device.name, tiles: tiles, programs: programs.map(ProgramRow.init))
    ]
  }
}

/// Types of a model's weights that the kernels read.
enum WeightType: String, CaseIterable, ExpressibleByArgument {
  // swift-format-ignore: AlwaysUseLowerCamelCase
  case f32, f16, bf16, q8_0, q4_0, q4_1

  var ggufType: GGUFType {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    case .q8_0: .q8_0
    case .q4_0: .q4_0
    case .q4_1: .q4_1
    }
  }
}

/// A plan as JSON.
private struct PlanRow: Encodable {
  struct Part: Encodable {
    var device: String
    var deviceName: String
    var kernel: String
    var firstHead: Int
    var headCount: Int
    var tiles: Tiles?
    var deviceBytes: Int?
    var blocks: [Block]?
    var programs: [ProgramRow]?
  }

  struct Tiles: Encodable {
    var rows: Int
    var keys: Int
    var description: String
    /// `tuned` or `table`.
    var source: String
  }

  struct Block: Encodable {
    var firstHead: Int
    var headCount: Int
    var slices: Int
    var sliceQueries: Int
    var operandBytes: Int
    var scratchBytes: Int
  }

  var problem: String
  var visiblePairs: Int
  var flops: Double
  var operandBytes: Int
  var parts: [Part]

  init(_ shape: Shape, _ problem: AttentionProblem, _ plan: AttentionPlan) {
    self.problem = shape.title
    visiblePairs = problem.visiblePairs
    flops = problem.floatingPointOperations
    operandBytes = problem.operandBytes
    parts = plan.parts.map { part in
      var row = Part(
        device: part.device.identifier, deviceName: part.device.name, kernel: "reference",
        firstHead: part.heads.lowerBound, headCount: part.heads.count)
      switch part.work {
      case .reference: break
      case .cpu(let cpu):
        row.kernel = cpu.kernelName
        row.tiles = Tiles(
          rows: cpu.tileRows, keys: cpu.tileKeys, description: cpu.instructionSet.rawValue, source: "table")
        row.deviceBytes = cpu.scratchBytes
      case .kernels(let kernels):
        row.kernel = kernels.tiles.kernel.rawValue
        row.tiles = Tiles(
          rows: kernels.tiles.tileRows, keys: kernels.tiles.tileKeys, description: "\(kernels.tiles)",
          source: kernels.tilesAreTuned ? "tuned" : "table")
        row.deviceBytes = kernels.peakBytes
        row.blocks = kernels.blocks.map {
          Block(
            firstHead: $0.heads.lowerBound, headCount: $0.heads.count, slices: $0.slices.count,
            sliceQueries: $0.sliceRows, operandBytes: $0.operandBytes, scratchBytes: $0.scratchBytes)
        }
        row.programs = kernels.programs(for: problem, on: part.device).map {
          ProgramRow($0)
        }
      }
      return row
    }
  }
}

extension Range<Int> {
  fileprivate var text: String { count == 1 ? "\(lowerBound)" : "\(lowerBound) to \(upperBound - 1)" }
}
