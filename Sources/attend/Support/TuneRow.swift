import Attention
import OpenCL

/// What tuning found for one class on one device; the names in JSON are these in snake case.
struct TuneRow: Encodable {
  struct Trial: Encodable {
    let tiles: String
    /// In the order of `size_names`.
    let sizes: [Int]
    /// `best` until then, `slower`, `wrong` or `unusable`.
    let outcome: String
    /// The time over that of the table's tiles; null where it was not timed.
    let ratio: OrNull<Double>
    /// The largest error of a wrong result.
    let error: OrNull<Double>
    let reason: OrNull<String>
  }

  let device: String
  let deviceName: String
  let driver: String
  let problem: String
  let kernel: String
  let dtype: String
  let headDimension: Int
  let valueDimension: Int
  let mask: String
  let lengths: String
  let tableTiles: String
  let tableSizes: [Int]
  let tiles: String
  let sizeNames: [String]
  let sizes: [Int]
  let ratio: Double
  let trials: [Trial]

  init(
    _ shape: Shape, _ problemClass: ProblemClass, start: KernelTiles, _ finding: TileSearch.Finding,
    device: [DeviceProfile], _ info: DeviceInfo
  ) {
    self.device = device.map(\.identifier).joined(separator: ",")
    deviceName = info.name
    driver = info.driverVersion
    problem = shape.title
    kernel = problemClass.family.rawValue
    dtype = shape.dtype.rawValue
    headDimension = problemClass.headDimension
    valueDimension = problemClass.valueDimension
    mask = problemClass.mask.rawValue
    lengths = problemClass.lengths.rawValue
    tableTiles = "\(start)"
    tableSizes = start.sizes
    tiles = "\(finding.tiles)"
    sizeNames = problemClass.family.sizeNames.split(separator: " ").map(String.init)
    sizes = finding.tiles.sizes
    ratio = finding.ratio
    trials = finding.trials.map(Trial.init)
  }

  /// The class, what was tried, and what came of it.
  var text: String {
    var table = Table(["tiles", sizeNames.joined(separator: " "), "time", ""], rightAligned: [2])
    table.add([tableTiles, Self.text(tableSizes), "1.00×", "the table's"])
    for trial in trials {
      let time = trial.ratio.value.map { Quantity.rounded($0) + "×" } ?? ""
      table.add([trial.tiles, Self.text(trial.sizes), time, trial.remark])
    }
    let result =
      sizes == tableSizes
      ? "the table's tiles are the best of \(trials.count + 1)"
      : "\(Self.text(sizes)) (\(tiles)): \(Quantity.rounded(ratio))× the time of the table's, the best of \(trials.count + 1)"
    return "\(problem) on \(device) (\(deviceName)): \(kernel), \(mask), \(lengths)\n\(table.text())\n\(result)\n"
  }

  private static func text(_ sizes: [Int]) -> String { sizes.map { "\($0)" }.joined(separator: " ") }
}

extension TuneRow.Trial {
  fileprivate init(_ trial: TileTrial) {
    tiles = "\(trial.tiles)"
    sizes = trial.tiles.sizes
    ratio = OrNull(trial.ratio)
    switch trial.timing {
    case .ratio:
      outcome = trial.isBest ? "best" : "slower"
      error = OrNull(nil)
      reason = OrNull(nil)
    case .wrong(let largest):
      outcome = "wrong"
      error = OrNull(largest)
      reason = OrNull(nil)
    case .unusable(let why):
      outcome = "unusable"
      error = OrNull(nil)
      reason = OrNull(why)
    }
  }

  fileprivate var remark: String {
    switch outcome {
    case "best": "best until then"
    case "wrong": "wrong: error \(error.value.map(Quantity.scientific) ?? "")"
    case "unusable": "cannot be used: \(reason.value ?? "")"
    default: ""
    }
  }
}
