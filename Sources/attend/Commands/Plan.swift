import ArgumentParser
import Attention
import TensorFiles

struct Plan: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what would be done with a problem, without doing it.",
    discussion:
      "Device, kernels, tiles and where they are from, the split of heads and queries, and bytes of device memory.")

  @OptionGroup var shapes: ShapeOptions
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

  @Flag(help: "Print one JSON object a problem, with the programs that each device builds.")
  var json = false

  func validate() throws {
    guard shapes.kvType == nil else {
      throw ValidationError("--kv-type: expected none, no cache is made for a plan; 'attend bench' makes one.")
    }
  }

  mutating func run() throws {
    let planner = try planner()
    let outputs = outputs.map { AttentionOutputs($0.values.map(\.option)) } ?? .output
    for shape in try shapes.shapes(defaultLengths: [1024]) {
      let problem = try shape.problem(outputs: outputs)
      let plan = try planner(problem)
      if json {
        try Console.write(JSON.line(PlanRow(shape, problem, plan)))
      } else {
        try Console.write(Self.text(shape, problem, plan))
      }
    }
  }

  private static var models: String { DeviceProfile.gpuModels.map(\.identifier).joined(separator: ", ") }

  /// What makes the plans: the engine of the devices that are here, or the planner alone for one that is not.
  private func planner() throws -> (AttentionProblem) throws -> AttentionPlan {
    guard let asGpu else {
      let engine = try device.engine(kernel: kernel.kernel)
      return { try engine.plan($0) }
    }
    guard device.device == nil else { throw ValidationError("--as-gpu takes the place of --device: give one of them") }
    guard let model = DeviceProfile.gpuModels.first(where: { $0.identifier == asGpu }) else {
      throw ValidationError("--as-gpu: expected one of \(Self.models), found '\(asGpu)'")
    }
    let choice = kernel.kernel
    return { try AttentionPlan($0, devices: [model], kernel: choice) }
  }

  private static func text(_ shape: Shape, _ problem: AttentionProblem, _ plan: AttentionPlan) -> String {
    var lines = [
      "\(shape.title): \(problem.visiblePairs) visible pairs, "
        + "\(Quantity.rounded(Double(problem.floatingPointOperations) / 1e9)) GFLOP, "
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
    var programs: [Program]?
  }

  struct Program: Encodable {
    var kernels: [String]
    var sources: [String]
    var options: [String]
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
  var flops: Int
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
          Program(kernels: $0.kernels, sources: $0.sources, options: $0.options)
        }
      }
      return row
    }
  }
}

extension Range<Int> {
  fileprivate var text: String { count == 1 ? "\(lowerBound)" : "\(lowerBound) to \(upperBound - 1)" }
}
