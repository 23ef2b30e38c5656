// Runs the README's examples, and holds one result to attention computed here, in float64.
import Attention
import Foundation

/// Causal attention as the README's first example asks for it.
func naiveCausal(_ snippets: Snippets, head: Int, query i: Int) -> [Double] {
  let (queries, keys, dimension) = (100, 120, 64)
  func row(_ numbers: [Float], _ length: Int, _ index: Int) -> [Double] {
    let first = (head * length + index) * dimension
    return numbers[first..<first + dimension].map(Double.init)
  }
  let query = row(snippets.queries, queries, i)
  let visible = 0...(i + keys - queries)
  let terms = visible.map { j in
    exp(zip(query, row(snippets.keys, keys, j)).map(*).reduce(0, +) / Double(dimension).squareRoot())
  }
  let total = terms.reduce(0, +)
  var output = Array(repeating: 0.0, count: dimension)
  for (j, term) in zip(visible, terms) {
    for (d, value) in row(snippets.values, keys, j).enumerated() { output[d] += term / total * value }
  }
  return output
}

let folder = FileManager.default.temporaryDirectory.appending(path: "swift-attention-consumer-\(UUID().uuidString)")
do {
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  // The examples write files where they are run.
  guard FileManager.default.changeCurrentDirectoryPath(folder.path) else { throw CocoaError(.fileNoSuchFile) }

  let snippets = try Snippets()
  for snippet in snippets.all {
    do {
      try snippet.run()
    } catch let wrong as Wrong {
      throw wrong
    } catch {
      throw Wrong(line: snippet.line, found: "the error \(error)", expected: "an example that runs")
    }
  }

  let output = try snippets.engine.scaledDotProductAttention(
    query: snippets.q, key: snippets.k, value: snippets.v, mask: .causal(.lowerRight)
  ).floats()
  var largest = 0.0
  for (head, query) in [(0, 0), (3, 50), (7, 99)] {
    for (d, expected) in naiveCausal(snippets, head: head, query: query).enumerated() {
      largest = max(largest, abs(Double(output[(head * 100 + query) * 64 + d]) - expected))
    }
  }
  // Not "greater than": NaN must fail.
  guard largest <= 1e-5 else { throw Wrong(line: 0, found: "an error of \(largest)", expected: "at most 1e-5") }
  let device = snippets.engine.activeDevices.map(\.name).joined(separator: ", ")
  print("README: \(snippets.all.count) examples run on \(device), largest error \(largest)")
} catch {
  FileHandle.standardError.write(Data("README.md: \(error)\n".utf8))
  exit(1)
}
