import Attention

/// A finished comparison: what the page is made of.
struct BenchReport {
  struct Entry {
    let shape: Shape
    let row: BenchRow
  }

  /// Shapes that differ only in their lengths: what one chart shows.
  struct Family {
    let title: String
    var entries: [Entry]

    /// The shapes, the shortest first.
    var shapes: [Shape] { entries.map(\.shape).sorted { $0.keyLength < $1.keyLength } }
  }

  var entries: [Entry] = []
  /// Results that were wrong, a line each.
  var failures: [String] = []
  var peaks = DevicePeaks()
  /// The devices of all rows, in the order of the command line.
  var devices: [DeviceProfile] = []

  var families: [Family] {
    var families: [Family] = []
    for entry in entries {
      let title = entry.shape.familyTitle
      if let index = families.firstIndex(where: { $0.title == title }) {
        families[index].entries.append(entry)
      } else {
        families.append(Family(title: title, entries: [entry]))
      }
    }
    return families
  }

  /// What the rows call their devices, in order; the place is the style of the device's lines.
  var deviceNames: [String] {
    entries.reduce(into: []) { if !$0.contains($1.row.device) { $0.append($1.row.device) } }
  }
}

extension Shape {
  /// The shape without its length, in words. A query length that is not the key length belongs to the family.
  fileprivate var familyTitle: String {
    var parts = ["\(dtype.rawValue)"]
    if batch != 1 { parts.append("batch \(batch)") }
    parts.append("\(heads) heads" + (kvHeads == heads ? "" : " on \(kvHeads)"))
    parts.append("D \(headDimension)" + (headDimension == valueDimension ? "" : ", values \(valueDimension)"))
    if queryLength != keyLength { parts.append("\(queryLength) \(queryLength == 1 ? "query" : "queries")") }
    if causal { parts.append("causal") }
    if let window { parts.append("window \(window.description)") }
    return parts.joined(separator: " · ")
  }

  /// The shape with another key length; as many queries where they were as many.
  func withKeyLength(_ length: Int) -> Shape {
    Shape(
      batch: batch, heads: heads, kvHeads: kvHeads, queryLength: queryLength == keyLength ? length : queryLength,
      keyLength: length, headDimension: headDimension, valueDimension: valueDimension, dtype: dtype, causal: causal,
      window: window)
  }
}
