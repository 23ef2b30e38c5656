import Foundation

extension BenchReport {
  /// The page: one file that needs no other and no network.
  var page: Page {
    Page(
      title: "attend bench", heading: "Attention: device against device",
      content: """
        \(summary)
        \(warnings)
        \(families.map(section).joined(separator: "\n"))
        <section>
        <h2>All rows</h2>
        <p>Every result was checked against float64. Kernel time: from enqueueing to completion, operands on the device; \
        end to end: from host arrays to host arrays; both are medians.</p>
        \(table)
        </section>
        <section>
        <h2>Machine</h2>
        \(machine)
        </section>
        """, script: Self.script)
  }

  /// What the rows come to, in a sentence a device.
  private var summary: String {
    let sentences = deviceNames.map { name in
      let rows = entries.map(\.row).filter { $0.device == name }
      let fastest = rows.map(\.gflops).max() ?? 0
      var text = "\(name) (\(rows.first?.deviceName ?? "")): up to \(Quantity.rounded(fastest)) GFLOP/s"
      if let fraction = rows.compactMap({ peaks.fraction($0) }).max() {
        text += ", \(Quantity.rounded(100 * fraction)) % of its measured peak"
      }
      let speedups = rows.filter { $0.backend != "cpu" }.compactMap(\.speedupVsCpu.value)
      if let least = speedups.min(), let most = speedups.max() {
        text += "; \(Quantity.rounded(least)) to \(Quantity.rounded(most)) times the speed of 'cpu'"
      }
      return Markup.text("li", [:], text + ".")
    }
    return Markup.element("ul", ["class": "summary"], sentences.joined())
  }

  private var warnings: String {
    let lines =
      failures + peaks.failures.sorted { $0.key < $1.key }.map { "\($0.key): its peak was not measured: \($0.value)" }
    guard !lines.isEmpty else { return "" }
    let items = lines.map { Markup.text("li", [:], $0) }
    return Markup.element("ul", ["class": "warnings", "role": "alert"], items.joined())
  }

  private func section(_ family: Family) -> String {
    Markup.element(
      "section", [:],
      Markup.text("h2", [:], family.title)
        + Markup.element("div", ["class": "charts"], charts(family).map(\.figure).joined(separator: "\n")))
  }

  private var machine: String {
    var facts = MachineDescription.host
    for device in devices {
      let peak = peaks[device.identifier].map { "; peak \(Quantity.rounded($0 / 1e9)) GFLOP/s, measured" } ?? ""
      facts.append((device.identifier, MachineDescription.device(device) + peak))
    }
    facts.append(("Date", ISO8601DateFormatter().string(from: Date())))
    let items = facts.map { Markup.text("dt", [:], $0) + Markup.text("dd", [:], $1) }
    return Markup.element("dl", [:], items.joined())
      + Markup.element(
        "pre", ["tabindex": "0", "aria-label": "Command line"],
        Markup.text("code", [:], MachineDescription.commandLine))
  }
}
