import Attention

extension BenchReport {
  /// The charts of one family; those without a point are left out.
  func charts(_ family: Family) -> [LineChart] {
    let speed = LineChart(
      title: "Speed", unit: "GFLOP/s, operands on the device", series: series(family) { $0.gflops },
      label: Quantity.short)
    let ratio = LineChart(
      title: "OpenCL against the CPU", unit: "times the speed of 'cpu' on the same shape",
      series: series(family) { $0.backend == "cpu" ? nil : $0.speedupVsCpu.value }, label: { Quantity.short($0) + "×" })
    let fraction = LineChart(
      title: "Fraction of the peak", unit: "of the float32 multiply-adds measured on the device",
      series: series(family) { peaks.fraction($0).map { 100 * $0 } }, label: { Quantity.short($0) + " %" })
    return [speed, ratio, fraction, memory(family)].filter { !$0.series.isEmpty }
  }

  private func series(_ family: Family, _ value: (BenchRow) -> Double?) -> [LineChart.Series] {
    deviceNames.enumerated().compactMap { index, name in
      let points = family.entries.filter { $0.row.device == name }.compactMap { entry in
        value(entry.row).map { LineChart.Point(length: entry.shape.keyLength, value: $0) }
      }
      return points.isEmpty
        ? nil : LineChart.Series(name: name, style: index % LineChart.styleCount, points: points)
    }
  }

  /// What each kind of kernel takes, from plans: no device is needed for lengths that nobody waits for.
  private func memory(_ family: Family) -> LineChart {
    let kernels = KernelChoice.allCases.filter { $0 != .auto }
    let shapes = Self.lengthened(family.shapes)
    let onOpenCL = devices.filter(\.isOpenCL)
    var series: [LineChart.Series] = []
    for device in onOpenCL {
      for kernel in kernels {
        let points = shapes.compactMap { shape in
          Self.peakBytes(shape, device, kernel).map {
            LineChart.Point(length: shape.keyLength, value: Double($0))
          }
        }
        let name = onOpenCL.count == 1 ? kernel.rawValue : "\(kernel.rawValue) on \(device.identifier)"
        let style = series.count % LineChart.styleCount
        if !points.isEmpty { series.append(LineChart.Series(name: name, style: style, points: points)) }
      }
    }
    if !series.isEmpty {
      let operands = shapes.compactMap { shape in
        (try? shape.problem()).map { LineChart.Point(length: shape.keyLength, value: Double($0.operandBytes)) }
      }
      series.append(
        LineChart.Series(name: "operands and output", style: LineChart.neutralStyle, points: operands))
    }
    return LineChart(
      title: "Device memory by kernel", unit: "most bytes at once, as planned", series: series, scale: .logarithmic,
      label: { Quantity.bytes(Int($0)).replacing(".0 ", with: " ").replacing(".00 ", with: " ") })
  }

  /// The shapes, and the longest at twice its length and so on, to 65,536 keys.
  private static func lengthened(_ shapes: [Shape]) -> [Shape] {
    var result: [Shape] = []
    for shape in shapes where result.last?.keyLength != shape.keyLength { result.append(shape) }
    while let last = result.last, last.keyLength <= 1 << 15 { result.append(last.withKeyLength(2 * last.keyLength)) }
    return result
  }

  /// Nil where the kernel cannot do the shape on the device, or the plan is for another kernel.
  private static func peakBytes(_ shape: Shape, _ device: DeviceProfile, _ kernel: KernelChoice) -> Int? {
    guard let plan = try? AttentionPlan(shape.problem(), devices: [device], kernel: kernel),
      plan.parts.allSatisfy({ $0.kernelName == kernel.rawValue })
    else { return nil }
    return plan.peakBytes
  }
}

extension Quantity {
  /// As few digits as an axis needs.
  fileprivate static func short(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : rounded(value)
  }
}
