import Foundation
import TensorFiles

extension BenchReport {
  /// Writes the page: one file that needs no other and no network.
  ///
  /// - Throws: `TensorFileError` where it cannot be written; then there is no file, or the older one.
  func write(to path: String) throws {
    try AtomicFile.write(to: path) { file in
      var text = page
      try text.withUTF8 { try file.append(UnsafeRawBufferPointer($0)) }
    }
  }

  var page: String {
    // The policy keeps the page's promise: nothing is fetched from anywhere.
    let head = """
      <meta charset="utf-8"/>
      <meta name="viewport" content="width=device-width, initial-scale=1"/>
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
      script-src 'unsafe-inline'"/>
      <meta name="color-scheme" content="light dark"/>
      <title>attend bench</title>
      <style>
      \(Self.style)
      </style>
      """
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      \(head)
      </head>
      <body>
      <main>
      <h1>Attention: device against device</h1>
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
      </main>
      <script>
      \(Self.script)
      </script>
      </body>
      </html>

      """
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
