/// Rows of text under a heading, in columns as wide as their widest cell.
///
/// In a terminal that is too narrow, the column that may shrink is cut, and if that is not enough each row becomes a list
/// of its cells; in a pipe nothing is.
struct Table {
  private let headings: [String]
  private let rightAligned: Set<Int>
  private let shrinking: Int
  private var rows: [[String]] = []

  /// - Parameters:
  ///   - rightAligned: Columns of numbers.
  ///   - shrinking: The column that is cut first.
  init(_ headings: [String], rightAligned: Set<Int> = [], shrinking: Int = 0) {
    self.headings = headings
    self.rightAligned = rightAligned
    self.shrinking = shrinking
  }

  mutating func add(_ cells: [String]) { rows.append(cells) }

  func text(width: Int? = Console.width) -> String {
    var widths = headings.map(\.count)
    for row in rows {
      for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) }
    }
    let total = widths.reduce(0, +) + 2 * (widths.count - 1)
    if let width, total > width {
      guard widths[shrinking] - (total - width) >= 8 else { return lists }
      widths[shrinking] -= total - width
    }
    return ([headings] + rows).map { line($0, widths) }.joined(separator: "\n")
  }

  /// Each row as lines of heading and cell; empty cells are left out.
  private var lists: String {
    let width = headings.map(\.count).max() ?? 0
    return rows.map { row in
      zip(headings, row).filter { !$1.isEmpty }
        .map { "\($0)\(String(repeating: " ", count: width - $0.count))  \($1)" }.joined(separator: "\n")
    }.joined(separator: "\n\n")
  }

  private func line(_ cells: [String], _ widths: [Int]) -> String {
    let padded = cells.enumerated().map { column, cell in
      let text = cell.count > widths[column] ? "\(cell.prefix(widths[column] - 1))…" : cell
      let padding = String(repeating: " ", count: widths[column] - text.count)
      return rightAligned.contains(column) ? padding + text : text + padding
    }
    let line = padded.joined(separator: "  ")
    return String(line.reversed().drop { $0 == " " }.reversed())
  }
}
