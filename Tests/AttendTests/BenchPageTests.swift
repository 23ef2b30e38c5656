import Foundation
import Testing

#if canImport(FoundationXML)
  import FoundationXML
#endif

@Suite struct BenchPageTests {
  private let shape = [
    "--heads", "2", "--kv-heads", "1", "--query-length", "16,33", "--dtype", "f32,f16", "--repetitions", "1",
    "--minimum-seconds", "0",
  ]

  /// What a page is made of, read by an XML parser, which accepts nothing that is not well-formed.
  private final class Page: NSObject, XMLParserDelegate {
    private(set) var elements: [String: Int] = [:]
    private(set) var values: Set<Double> = []
    private(set) var labels: [String] = []
    private(set) var references: [String] = []
    private(set) var text = ""
    private(set) var isWellFormed = false

    init(_ data: Data) {
      super.init()
      let parser = XMLParser(data: data)
      parser.delegate = self
      isWellFormed = parser.parse()
    }

    func parser(
      _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
      attributes: [String: String]
    ) {
      elements[name, default: 0] += 1
      if name == "data", let value = attributes["value"].flatMap(Double.init) { values.insert(value) }
      if let label = attributes["data-label"] { labels.append(label) }
      references += [attributes["src"], attributes["href"]].compactMap(\.self)
    }

    func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }
  }

  @Test func thePageHoldsEveryRowsNumbers() throws {
    let folder = try TemporaryFolder()
    let command = try Command(["bench", "--json", "--html", folder["a&<b>.html"].path] + shape)
    #expect(command.status == 0, "\(command.errors)")
    #expect(try folder.names == ["a&<b>.html"])
    let page = Page(try Data(contentsOf: folder["a&<b>.html"]))
    #expect(page.isWellFormed)
    #expect(page.references.isEmpty, "the page needs other files")
    #expect(page.text.contains("a&<b>.html"), "the command line, escaped")

    let rows = try command.lines.map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
    #expect(!rows.isEmpty)
    #expect(page.elements["tr"] == rows.count + 1)
    for row in rows {
      for key in [
        "kernel_seconds_median", "end_to_end_seconds_median", "gflops", "gigabytes_per_second", "device_bytes_peak",
        "max_abs_error", "speedup_vs_cpu",
      ] {
        let value = try #require((row[key] as? NSNumber)?.doubleValue, "\(key)")
        // JSONSerialization may be off by the last bit.
        let isThere = page.values.contains { abs($0 - value) <= 1e-12 * abs(value) }
        #expect(isThere, "\(key) \(value)")
      }
      #expect(page.text.contains(try #require(row["device_name"] as? String)))
    }
    // Speed for each row; for each OpenCL row its ratio to the CPU and, where the peak was measured, its fraction.
    let opencl = rows.filter { $0["backend"] as? String == "opencl" }
    #expect(page.labels.count >= rows.count + 2 * opencl.count)
    for title in ["Speed"]
      + (opencl.isEmpty ? [] : ["OpenCL against the CPU", "Fraction of the peak", "Device memory"])
    { #expect(page.text.contains(title)) }
    #expect(
      page.labels.contains { $0.hasPrefix("staged, length 65536") || $0.hasPrefix("staged, length 33792") }
        == !opencl.isEmpty)
  }

  @Test func thePageComesWithTheTableToo() throws {
    let folder = try TemporaryFolder()
    let command = try Command(["bench", "--device", "cpu", "--html", folder["page.html"].path] + shape)
    #expect(command.status == 0, "\(command.errors)")
    #expect(command.lines.count == 5)
    #expect(try folder.names == ["page.html"])
  }

  @Test func aPageThatCannotBeWrittenIsBadInput() throws {
    let folder = try TemporaryFolder()
    for path in [folder["none"].appending(path: "page.html").path, folder.url.path] {
      let command = try Command(["bench", "--device", "cpu", "--html", path] + shape)
      #expect(command.status == 2)
      #expect(command.errors.contains("attend: \(path): expected "))
      #expect(command.output.isEmpty, "said before anything was timed")
      #expect(try folder.names.isEmpty)
    }
    try Data().write(to: folder["file"])
    let command = try Command(["bench", "--device", "cpu", "--html", folder["file/page.html"].path] + shape)
    #expect(
      command.errors.hasSuffix("expected a folder that can be written to, found a file at \(folder["file"].path)\n"))
  }
}
