import OpenCL

/// What was tuned on one device with one driver, as text:
///
/// ```
/// attention tuning 1
/// platform: Portable Computing Language
/// device: pthread-haswell-AMD EPYC
/// driver: 3.1
///
/// # fused-cpu: vector rows columns rowBlocks keyPanels amx
/// # family kernels type D Dv mask lengths ratio sizes…
/// fused-cpu 6a0c4f1e22b97d35 F32 64 64 causal long 0.93 8 6 2 12 8 0
/// end 1
/// ```
///
/// `kernels` is a digest of the family's sources: a row of other kernels counts for nothing. `ratio` is the time over that
/// of the tiles in the family's table.
package struct TuningFile: Sendable, Equatable {
  package struct Row: Sendable, Equatable {
    package var problem: ProblemClass
    package var kernels: String
    package var ratio: Double
    package var sizes: [Int]
  }

  /// The device and its driver.
  package let identity: [String]
  package private(set) var rows: [Row] = []

  private static let heading = "attention tuning 1"

  /// Nothing tuned yet.
  package init(_ device: DeviceInfo) { identity = Self.identity(device) }

  /// Everything that the time of a kernel depends on and a driver tells.
  private static func identity(_ device: DeviceInfo) -> [String] {
    [
      ("platform", device.platformName), ("platform version", device.platformVersion), ("device", device.name),
      ("vendor", device.vendor), ("device version", device.deviceVersion), ("driver", device.driverVersion),
    ].map { name, value in "\(name): " + value.split(whereSeparator: \.isWhitespace).joined(separator: " ") }
  }

  /// The file's name in the cache's folder.
  package var name: String { "tuning-\(hexDigest(identity.joined(separator: "\n"))).txt" }

  /// Puts a row in the place of the one of its class, or after the others.
  package mutating func add(_ row: Row) {
    rows.removeAll { $0.problem == row.problem }
    rows.append(row)
  }

  /// Rows that were tuned for other kernels than these.
  package var staleRows: Int { rows.count { $0.kernels != $0.problem.family.kernelDigest } }

  /// What the planner goes by: the rows of these kernels. Those whose tiles do not fit, it passes over.
  package func table(vendor: DeviceVendor) -> TuningTable {
    var table = TuningTable()
    for row in rows where row.kernels == row.problem.family.kernelDigest {
      table[row.problem] = KernelTiles(row.problem.family, sizes: row.sizes, vendor: vendor)
    }
    return table
  }
}

extension TuningFile {
  package var text: String {
    var lines = [Self.heading] + identity + [""]
    lines += KernelTiles.Family.allCases.map { "# \($0.rawValue): \($0.sizeNames)" }
    lines.append("# family kernels type D Dv mask lengths ratio sizes…")
    lines += rows.map(\.text)
    lines.append("end \(rows.count)")
    return lines.map { $0 + "\n" }.joined()
  }

  /// What is wrong with a file.
  package struct Damage: Error, Equatable {
    package let reason: String
  }

  /// Reads a device's file.
  ///
  /// - Throws: ``Damage`` for a file that is not whole, or another device's.
  package init(_ text: String, of device: DeviceInfo) throws(Damage) {
    self.init(device)
    let lines = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
    guard let first = lines.first, first == Self.heading else {
      throw Damage(reason: "found '\(lines.first?.prefix(40) ?? "")' as its first line, expected '\(Self.heading)'")
    }
    let found = lines.dropFirst().prefix(identity.count).map(String.init)
    for (index, expected) in identity.enumerated() where !found.indices.contains(index) || found[index] != expected {
      throw Damage(reason: "found '\(found.dropFirst(index).first?.prefix(80) ?? "")', expected '\(expected)'")
    }
    let rest = lines.dropFirst(1 + identity.count)
    guard let last = rest.last, last == "end \(rest.count - 1)" else {
      let expected = "end \(max(0, rest.count - 1))"
      throw Damage(reason: "found '\(rest.last?.prefix(40) ?? "")' as its last line, expected '\(expected)'")
    }
    for line in rest.dropLast() {
      guard let row = Row(line) else {
        throw Damage(
          reason: "found '\(line.prefix(80))', expected a family, kernels, a type, D, Dv, a mask, lengths, a ratio "
            + "and sizes")
      }
      add(row)
    }
  }
}

extension TuningFile.Row {
  /// A row for these kernels.
  package init(_ problem: ProblemClass, _ tiles: KernelTiles, ratio: Double) {
    self.init(problem: problem, kernels: problem.family.kernelDigest, ratio: ratio, sizes: tiles.sizes)
  }

  fileprivate var text: String {
    let names = [problem.family.rawValue, kernels, problem.elementType.rawValue]
    let dimensions = ["\(problem.headDimension)", "\(problem.valueDimension)"]
    let kinds = [problem.mask.rawValue, problem.lengths.rawValue, "\((ratio * 1000).rounded() / 1000)"]
    return (names + dimensions + kinds + sizes.map { "\($0)" }).joined(separator: " ")
  }

  fileprivate init?(_ line: Substring) {
    let fields = line.split(separator: " ").map(String.init)
    guard fields.count > 8, let family = KernelTiles.Family(rawValue: fields[0]),
      let elementType = ElementType(rawValue: fields[2]), let headDimension = Int(fields[3]),
      let valueDimension = Int(fields[4]), let mask = ProblemClass.MaskKind(rawValue: fields[5]),
      let lengths = ProblemClass.Lengths(rawValue: fields[6]), let ratio = Double(fields[7])
    else { return nil }
    problem = ProblemClass(
      family: family, elementType: elementType, headDimension: headDimension, valueDimension: valueDimension,
      mask: mask, lengths: lengths)
    kernels = fields[1]
    self.ratio = ratio
    sizes = fields[8...].compactMap { Int($0) }
    guard sizes.count == fields.count - 8 else { return nil }
  }
}
