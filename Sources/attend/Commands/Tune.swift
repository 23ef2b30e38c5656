import ArgumentParser
import Attention
import Foundation
import OpenCL

struct Tune: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Search a device's tile sizes and keep the best for later runs.",
    discussion: """
      For each class of problem (kernels, element type, dimensions, kind of mask, lengths) the tiles of the table are \
      timed against their neighbours, in turn, as long as that gains; a candidate whose result is wrong is rejected. What \
      is found is kept beside the compiled kernels, for this device and driver, as soon as its class is finished, and \
      'attend plan' says where it is used. With no shape options: f32 and f16, dimensions 64 and 128, causal and not, \
      512 and 2048 long, which takes a few minutes. Several devices are tuned one after the other.
      \(ShapeOptions.grids) Without lengths: 512 and 2048 queries and keys.
      Classes of length are: at most 16 queries; more, and at most 1024 keys; more keys. ATTENTION_TUNING=off leaves what \
      was found out of account; ATTENTION_CACHE=off too. With other tiles the last bits of a result may differ.
      """)

  @OptionGroup var shapes: ShapeOptions

  @Option(
    help: ArgumentHelp(
      "The devices to tune: opencl, opencl:P:D (platform P, device D), or a part of a device's name.",
      discussion: "Several are separated by commas. Default: $ATTENTION_DEVICE, but opencl, the best one, for auto.",
      valueName: "id"))
  var device: String?

  @OptionGroup var kernel: KernelOption

  @Option(help: ArgumentHelp("Time spent on each candidate that has a chance, at least.", valueName: "s"))
  var minimumSeconds = 0.1

  @Option(help: ArgumentHelp("Candidates tried for each class, at most.", valueName: "n"))
  var candidates = 12

  @Flag(help: "Search and show, but keep nothing.")
  var dryRun = false

  @Flag(help: "Print one JSON object for each class and device.")
  var json = false

  func validate() throws {
    try shapes.requireWork()
    guard minimumSeconds >= 0, minimumSeconds <= 3600 else {
      throw ValidationError("--minimum-seconds: expected 0 to 3600, found \(minimumSeconds).")
    }
    guard candidates >= 1, candidates <= 10_000 else {
      throw ValidationError("--candidates: expected 1 to 10000, found \(candidates).")
    }
  }

  mutating func run() throws {
    let shapes = shapes.given.isEmpty ? try ShapeOptions.classes() : try shapes.shapes(defaultLengths: [512, 2048])
    let named = try DeviceOption.engine(try Self.openCLName(device ?? DeviceOption.standard), kernel: kernel.kernel)
    for profile in named.activeDevices {
      guard let found = named.roster.openCLDevice(profile.identifier) else {
        throw Failure(.noDevice, "\(profile.identifier): expected an OpenCL device, \(profile.name) has no tiles")
      }
      guard dryRun || TuningStore.standard.path(of: found.info) != nil else {
        throw Failure(
          .badInput,
          "there is no place to keep what is found (ATTENTION_TUNING or ATTENTION_CACHE is off, or there is no home "
            + "folder): expected one, or --dry-run")
      }
      if !dryRun { try Self.checkStore(of: found.info) }
      // Most candidates are never used again, and some drivers take as long again to hand a program out for keeping.
      let engine = try AttentionEngine(
        device: .named([profile.identifier]), kernel: kernel.kernel, tuning: .none, programs: .none
      ) { Console.note("attend: \($0)") }
      try tune(shapes, on: engine, found.info)
    }
  }

  /// Only OpenCL devices have tiles, and auto may prefer the CPU backend.
  private static func openCLName(_ name: String) throws -> String {
    guard name == "auto" || name == "opencl" else { return name }
    guard try DeviceRegistry.openCLDevices().contains(where: { DeviceRegistry.unusable($0) == nil }) else {
      throw Failure(.noDevice, "expected an OpenCL device to tune, found none; the CPU backends have no tiles")
    }
    return "opencl"
  }

  /// A search takes a while: that there is nowhere to keep its results should not come out at the end. Folders that are not
  /// the user's alone are not used; that rule is `attention_cache_is_own` in COpenCL, of which this says what was found.
  private static func checkStore(of info: DeviceInfo) throws {
    guard let path = TuningStore.standard.path(of: info) else { return }
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    try OutputFolder.checkPlace(folder)
    guard let facts = try? FileManager.default.attributesOfItem(atPath: folder) else { return }
    let mode = (facts[.posixPermissions] as? NSNumber)?.intValue ?? 0
    let owner = (facts[.ownerAccountID] as? NSNumber)?.uint32Value
    let found: String? =
      if facts[.type] as? FileAttributeType == .typeSymbolicLink {
        "a link"
      } else if owner != geteuid() {
        "one of another user"
      } else {
        mode & 0o022 == 0 ? nil : "permissions \(String(mode, radix: 8))"
      }
    if let found {
      throw Failure(.badInput, "\(folder): expected a folder that nobody but you may write to, found \(found)")
    }
  }

  private func tune(_ shapes: [Shape], on engine: AttentionEngine, _ info: DeviceInfo) throws {
    let progress = ProgressLine()
    var seen: Set<ProblemClass> = []
    // What was best for one class is worth trying for the next.
    var hints: [KernelTiles] = []
    for shape in shapes {
      progress.show("\(shape.title) on \(info.name)")
      let tuner = try Tuner(
        engine, kernel: kernel.kernel, call: try shape.call(), ragged: try shape.ragged.call(),
        minimumSeconds: minimumSeconds)
      guard seen.insert(tuner.problemClass).inserted else {
        progress.clear()
        Console.note("attend: \(shape.title): its class, \(tuner.problemClass), is tuned already")
        continue
      }
      var search = TileSearch(from: tuner.start, fits: tuner.fits, time: tuner.time)
      search.mostTrials = candidates
      let finding = try search.run(hints: hints + tuner.tableRows, neighbours: tuner.neighbours) { tiles, count in
        progress.show("\(shape.title) on \(info.name): candidate \(count), \(tiles)")
      }
      progress.clear()
      if !hints.contains(finding.tiles) { hints.append(finding.tiles) }
      let row = TuneRow(shape, tuner.problemClass, start: tuner.start, finding, device: engine.activeDevices, info)
      try Console.write(json ? JSON.line(row) : row.text)
      guard !dryRun else { continue }
      let kept = TuningStore.standard.add(
        TuningFile.Row(tuner.problemClass, finding.tiles, ratio: finding.ratio), of: info)
      guard kept else {
        throw Failure(.badInput, "\(TuningStore.standard.path(of: info) ?? ""): expected a file that can be written")
      }
    }
  }
}

extension ShapeOptions {
  /// A shape of each class that most calls belong to.
  fileprivate static func classes() throws -> [Shape] {
    var shapes: [Shape] = []
    for dtype in [StorageType.f32, .f16] {
      for width in [64, 128] {
        for length in [512, 2048] {
          for causal in [false, true] {
            shapes.append(
              Shape(
                batch: 1, heads: 8, kvHeads: 8, queryLength: length, keyLength: length, headDimension: width,
                valueDimension: width, dtype: dtype, causal: causal, window: nil))
          }
        }
      }
    }
    return shapes
  }
}

extension Shape {
  /// A small shape of the same dimensions and mask, whose lengths are no multiples of any tile.
  fileprivate var ragged: Shape {
    Shape(
      batch: 1, heads: 2, kvHeads: 1, queryLength: min(queryLength, 77), keyLength: 131, headDimension: headDimension,
      valueDimension: valueDimension, dtype: dtype, causal: causal, window: window)
  }
}
