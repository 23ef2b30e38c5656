import Attention

/// A plan as JSON.
struct PlanRow: Encodable {
  struct Part: Encodable {
    var device: String
    var deviceName: String
    var kernel: String
    var firstHead: Int
    var headCount: Int
    var tiles: Tiles?
    /// Where it decodes.
    var keySplits: [KeySplit]?
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
  /// Those of the results that are asked for among them.
  var operandBytes: Double
  var parts: [Part]

  init(_ shape: Shape, _ problem: AttentionProblem, _ plan: AttentionPlan) {
    self.problem = shape.title
    visiblePairs = problem.visiblePairs
    flops = problem.floatingPointOperations
    operandBytes = problem.callBytes
    parts = plan.parts.map { part in
      var row = Part(
        device: part.device.identifier, deviceName: part.device.name, kernel: "reference",
        firstHead: part.heads.lowerBound, headCount: part.heads.count)
      let splits = KeySplit.of(part, problem)
      row.keySplits = splits.isEmpty ? nil : splits
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

/// A program as JSON.
struct ProgramRow: Encodable {
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
struct CacheRow: Encodable {
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
