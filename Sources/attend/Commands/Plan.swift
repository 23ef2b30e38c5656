import ArgumentParser
import Attention
import AttentionModels
import TensorFiles

struct Plan: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what would be done with a problem, without doing it.",
    discussion: """
      Device, kernels, tiles and where they are from, the split of heads, queries and keys, and bytes of device memory.
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
      discussion: "Without the split of keys, which follows from the number of its compute units.", valueName: "model"))
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
    if let asGpu {
      guard device.device == nil else {
        throw ValidationError("--as-gpu takes the place of --device: give one of them.")
      }
      guard gpu != nil else {
        throw ValidationError("--as-gpu: expected one of \(Self.models), found '\(asGpu)'.")
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
      if let storage = shape.kvType, let gpu {
        try show(cache: storage, shape, problem, on: gpu)
        continue
      }
      let plan = try planner(problem)
      try Console.write(json ? JSON.line(PlanRow(shape, problem, plan)) : PlanText(shape, problem, plan).text)
    }
  }

  /// What a GPU that is not here builds for a cache, and for the layers of a model beside it.
  private func show(
    cache storage: KVCacheStorage, _ shape: Shape, _ problem: AttentionProblem, on model: DeviceProfile
  ) throws {
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

  /// The device of `--as-gpu`.
  private var gpu: DeviceProfile? { DeviceProfile.gpuModels.first { $0.identifier == asGpu } }

  private static var models: String { DeviceProfile.gpuModels.map(\.identifier).joined(separator: ", ") }

  /// What makes the plans: the engine of the devices that are here, or the planner alone for one that is not.
  private func planner() throws -> (AttentionProblem) throws -> AttentionPlan {
    guard let gpu else {
      let engine = try device.engine(kernel: kernel.kernel)
      return { try engine.plan($0) }
    }
    let choice = kernel.kernel
    return { try AttentionPlan($0, devices: [gpu], kernel: choice) }
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
