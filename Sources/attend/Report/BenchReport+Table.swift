extension BenchReport {
  /// Every row, with the whole numbers in the `value` attributes.
  var table: String {
    let headings: [(String, isNumber: Bool)] = [
      ("problem", false), ("device", false), ("kernel", false), ("kernel time", true), ("end to end", true),
      ("GFLOP/s", true), ("of peak", true), ("GB/s", true), ("memory", true), ("error", true), ("vs CPU", true),
    ]
    let head = headings.map { name, isNumber in
      Markup.text("th", ["scope": "col", "class": isNumber ? "number" : "name"], name)
    }
    let body = entries.map { entry in Markup.element("tr", [:], cells(entry).joined()) }
    return Markup.element(
      "div", ["class": "scroll", "role": "region", "aria-label": "All rows", "tabindex": "0"],
      Markup.element(
        "table", [:],
        Markup.element("thead", [:], Markup.element("tr", [:], head.joined()))
          + Markup.element("tbody", [:], body.joined())))
  }

  private func cells(_ entry: Entry) -> [String] {
    let row = entry.row
    return [
      Markup.text("th", ["scope": "row"], entry.shape.title), Markup.text("td", [:], row.device),
      Markup.text("td", [:], row.kernel),
      number(row.kernelSecondsMedian, Quantity.seconds(row.kernelSecondsMedian)),
      number(row.endToEndSecondsMedian, Quantity.seconds(row.endToEndSecondsMedian)),
      number(row.gflops, Quantity.rounded(row.gflops)),
      number(peaks.fraction(row)) { Quantity.rounded(100 * $0) + " %" },
      number(row.gigabytesPerSecond, Quantity.rounded(row.gigabytesPerSecond)),
      number(Double(row.deviceBytesPeak), Quantity.bytes(row.deviceBytesPeak)),
      number(row.maxAbsError, Quantity.scientific(row.maxAbsError)),
      number(row.speedupVsCpu.value) { Quantity.rounded($0) + "×" },
    ]
  }

  private func number(_ value: Double, _ text: String) -> String {
    Markup.element("td", ["class": "number"], Markup.text("data", ["value": "\(value)"], text))
  }

  private func number(_ value: Double?, _ text: (Double) -> String) -> String {
    guard let value else { return Markup.text("td", ["class": "number"], "–") }
    return number(value, text(value))
  }
}
