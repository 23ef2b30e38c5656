import ArgumentParser
import Attention
import AttentionModels

struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compare devices, GPU against CPU.",
    discussion: """
      Times each device on each shape: the kernels alone with operands on the device, and end to end from host arrays to \
      host arrays. Every result is checked against the CPU reference, on sampled rows where the whole would take too \
      long; a wrong result is an error and no time. 'cpu' is this package's own vector kernels.
      \(ShapeOptions.grids) Without lengths: 128, 512 and 1024 queries and keys.
      """)

  @OptionGroup var shapes: ShapeOptions

  @Option(help: ArgumentHelp("Attention over a key/value cache in this storage.", valueName: "type"))
  var kvType: List<KVCacheStorage>?

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Devices to compare, one row each. Default: $ATTENTION_DEVICE or the best OpenCL device, and cpu.",
      discussion: "As in the other commands; names joined by a comma are one row, which divides the heads.",
      valueName: "id"))
  var device: [String] = []

  @OptionGroup var kernel: KernelOption

  @Option(
    help: ArgumentHelp(
      "Time a model end to end instead of attention alone: \(ModelStore.known.map(\.name).joined(separator: ", ")), or a path.",
      discussion: "At the contexts of --query-length (default: 64,128,256), for each device.", valueName: "name|path"))
  var model: String?

  @Flag(help: "With --model: fetch it where it has a name and is not there yet.")
  var fetch = false

  @Option(help: ArgumentHelp("Timed runs, at least.", valueName: "n"))
  var repetitions = 3

  @Option(help: ArgumentHelp("Time spent on timed runs, at least. Default: 0.2.", valueName: "s"))
  var minimumSeconds: Double?

  @Flag(help: "Print one JSON object for each device and shape.")
  var json = false

  @Option(
    help: ArgumentHelp(
      "Write the comparison as a page with plots too: one file that needs no other and no network.",
      discussion: "It also holds the memory that each kind of kernel would take, and measures the devices' peaks.",
      valueName: "file"))
  var html: String?

  func validate() throws {
    try shapes.requireWork()
    guard repetitions >= 1, repetitions <= 1_000_000 else {
      throw ValidationError("--repetitions: expected 1 to 1000000, found \(repetitions).")
    }
    if model != nil {
      let options = [
        ("--kv-type", kvType != nil), ("--kernel", kernel.kernel != .auto),
        ("--minimum-seconds", minimumSeconds != nil), ("--html", html != nil),
      ]
      let others = shapes.given.filter { $0 != "--query-length" } + options.filter(\.1).map(\.0)
      guard others.isEmpty else {
        throw ValidationError(
          "--model: expected no \(others.joined(separator: ", ")) beside it, whose shapes are its own.")
      }
    }
    if fetch, model == nil { throw ValidationError("--fetch takes a --model with it.") }
    if let minimumSeconds, !(0...3600).contains(minimumSeconds) {
      throw ValidationError("--minimum-seconds: expected 0 to 3600, found \(minimumSeconds).")
    }
  }

  mutating func run() throws {
    if let model { return try runModel(model) }
    let shapes = try shapes.shapes(defaultLengths: [128, 512, 1024], kvTypes: kvType)
    // A comparison takes a while: that its page has nowhere to go should not come out at the end.
    if let html { try OutputFolder.checkPlace(ofFile: html) }
    let engines = try engineNames().map { try DeviceOption.engine($0, kernel: kernel.kernel) }
    let progress = ProgressLine()
    var table = BenchRow.table
    var report = BenchReport()
    if html != nil { report.peaks.measure(engines.flatMap(\.activeDevices)) }
    for shape in shapes {
      let runner = try BenchRunner(shape, repetitions: repetitions, minimumSeconds: minimumSeconds ?? 0.2)
      var cpuSeconds: Double?
      // The CPU first: the others' speed-up is over it.
      let order = engines.indices.sorted { engines[$0].isCPU && !engines[$1].isCPU }
      var rows: [Int: BenchRow] = [:]
      for index in order {
        let engine = engines[index]
        progress.show("\(shape.title) on \(engine.activeDevices.map(\.name).joined(separator: ", "))")
        var (row, isRight) = try runner.run(on: engine)
        guard isRight else {
          progress.clear()
          let failure =
            "\(shape.title) on \(row.device): wrong result, largest error \(Quantity.scientific(row.maxAbsError))"
          Console.complain([failure])
          report.failures.append(failure)
          continue
        }
        if engine.isCPU { cpuSeconds = row.kernelSecondsMedian }
        row.speedupVsCpu = OrNull(cpuSeconds.map { $0 / row.kernelSecondsMedian })
        rows[index] = row
      }
      progress.clear()
      for row in rows.sorted(by: { $0.key < $1.key }).map(\.value) {
        if json { try Console.write(JSON.line(row)) } else { table.add(row.cells(shape)) }
        report.entries.append(BenchReport.Entry(shape: shape, row: row))
      }
    }
    if !json { try Console.write(table.text()) }
    if let html {
      report.devices = engines.flatMap(\.activeDevices).uniqued()
      report.peaks.measure(report.devices)
      try report.page.write(to: html)
    }
    let wrong = report.failures.count
    if wrong > 0 { throw Failure(.checkFailed, wrong == 1 ? "1 result was wrong" : "\(wrong) results were wrong") }
  }

  /// A row for each device and context.
  private func runModel(_ model: String) throws {
    let bench = ModelBench(
      location: try ModelLocation.of(model, fetching: fetch), model: model, contexts: shapes.queryLength?.values,
      repetitions: repetitions)
    let progress = ProgressLine()
    var table = ModelBenchRow.table
    for name in engineNames() {
      let rows = try bench.rows(on: try DeviceOption.engine(name), named: name) {
        progress.show($0)
      }
      progress.clear()
      for row in rows { if json { try Console.write(JSON.line(row)) } else { table.add(row.cells) } }
    }
    if !json { try Console.write(table.text()) }
  }

  private func engineNames() -> [String] {
    guard device.isEmpty else { return device }
    let standard = DeviceOption.standard
    guard standard == "auto" else { return standard == "cpu" ? ["cpu"] : [standard, "cpu"] }
    return DeviceRegistry.hasUsableOpenCLDevice ? ["opencl", "cpu"] : ["auto"]
  }
}

extension [DeviceProfile] {
  /// The devices without those that came before under the same name.
  fileprivate func uniqued() -> [DeviceProfile] {
    var seen: Set<String> = []
    return filter { seen.insert($0.identifier).inserted }
  }
}

extension AttentionEngine {
  /// Whether the CPU backend alone does the work.
  var isCPU: Bool { activeDevices.allSatisfy { $0.identifier == "cpu" } }
}
