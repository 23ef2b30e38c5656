import ArgumentParser
import Attention

struct Plan: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what would be done with a problem, without doing it.",
    discussion: "Device, kernels, tiles, the split of heads and queries, and bytes of device memory.")

  @OptionGroup var shapes: ShapeOptions
  @OptionGroup var device: DeviceOption
  @OptionGroup var kernel: KernelOption

  @Flag(help: "Print one JSON object a problem.")
  var json = false

  mutating func run() throws {
    let engine = try device.engine(kernel: kernel.kernel)
    for shape in try shapes.shapes(defaultLengths: [1024]) {
      let problem = try shape.problem()
      let plan = try engine.plan(problem)
      if json {
        try Console.write(JSON.line(PlanRow(shape, problem, plan)))
      } else {
        try Console.write(Self.text(shape, problem, plan))
      }
    }
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
          "    \(kernels.tiles.kernel.rawValue): tiles \(kernels.tiles)\(kernels.aligned ? ", aligned" : "")")
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
  }

  struct Tiles: Encodable {
    var rows: Int
    var keys: Int
    var description: String
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
        row.tiles = Tiles(rows: cpu.tileRows, keys: cpu.tileKeys, description: cpu.instructionSet.rawValue)
        row.deviceBytes = cpu.scratchBytes
      case .kernels(let kernels):
        row.kernel = kernels.tiles.kernel.rawValue
        row.tiles = Tiles(
          rows: kernels.tiles.tileRows, keys: kernels.tiles.tileKeys, description: "\(kernels.tiles)")
        row.deviceBytes = kernels.peakBytes
        row.blocks = kernels.blocks.map {
          Block(
            firstHead: $0.heads.lowerBound, headCount: $0.heads.count, slices: $0.slices.count,
            sliceQueries: $0.sliceRows, operandBytes: $0.operandBytes, scratchBytes: $0.scratchBytes)
        }
      }
      return row
    }
  }
}

extension Range<Int> {
  fileprivate var text: String { count == 1 ? "\(lowerBound)" : "\(lowerBound) to \(upperBound - 1)" }
}
