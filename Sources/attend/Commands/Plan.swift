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
      case .staged(let staged):
        lines.append("    staged: tiles \(staged.tiles)\(staged.aligned ? ", aligned" : "")")
        lines.append("    device memory at most \(Quantity.bytes(staged.peakBytes)), in \(staged.blocks.count) blocks:")
        for (block, count) in runs(of: staged.blocks) {
          lines.append(
            "      \(count) × \(block.heads.count) heads, \(block.slices.count) slices of \(block.sliceRows) queries, "
              + "operands \(Quantity.bytes(block.operandBytes)), scores \(Quantity.bytes(block.scoreBytes))")
        }
      }
    }
    return lines.joined(separator: "\n")
  }

  /// Neighbouring blocks that differ only in which heads they are.
  private static func runs(of blocks: [StagedPlan.Block]) -> [(StagedPlan.Block, Int)] {
    var runs: [(StagedPlan.Block, Int)] = []
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
    var columns: Int
    var depth: Int
    var workItems: Int
    var softmaxWorkItems: Int
    var localBytes: Int
  }

  struct Block: Encodable {
    var firstHead: Int
    var headCount: Int
    var slices: Int
    var sliceQueries: Int
    var operandBytes: Int
    var scoreBytes: Int
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
      if case .staged(let staged) = part.work {
        let tiles = staged.tiles
        row.kernel = "staged"
        row.tiles = Tiles(
          rows: tiles.tileRows, columns: tiles.tileColumns, depth: tiles.depth, workItems: tiles.groupItems,
          softmaxWorkItems: tiles.softmaxItems, localBytes: tiles.localBytes)
        row.deviceBytes = staged.peakBytes
        row.blocks = staged.blocks.map {
          Block(
            firstHead: $0.heads.lowerBound, headCount: $0.heads.count, slices: $0.slices.count,
            sliceQueries: $0.sliceRows, operandBytes: $0.operandBytes, scoreBytes: $0.scoreBytes)
        }
      }
      return row
    }
  }
}

extension Range<Int> {
  fileprivate var text: String { count == 1 ? "\(lowerBound)" : "\(lowerBound) to \(upperBound - 1)" }
}
