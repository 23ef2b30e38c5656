import AttentionModels
import Foundation

/// Heads' maps as an SVG drawing: a heat map each, a row a layer.
enum ExplainDrawing {
  static func write(_ explanations: [Explanation], layer: Int?, head: Int?, to path: String) throws {
    try Page.write(try text(explanations, layer: layer, head: head), to: path)
  }

  static func text(_ explanations: [Explanation], layer: Int?, head: Int?) throws -> String {
    var parts: [String] = []
    var (width, height) = (0, 0)
    for explanation in explanations {
      guard case .maps(let whole) = explanation.attention else {
        throw Failure(
          .badInput,
          "the text: expected at most \(Explanation.longestWhole) tokens for a drawing, found \(explanation.tokens.count)"
        )
      }
      let maps = whole.merged(explanation.words.tokens)
      let layers = layer.map { [$0] } ?? Array(0..<maps.layers)
      let heads = head.map { [$0] } ?? Array(0..<maps.heads)
      let isOne = layers.count * heads.count == 1
      // One map has its words beside it; of many, a word is too small to read.
      let cell = isOne ? 20 : max(2, 96 / max(1, maps.count))
      let margin = isOne ? 110 : 8
      let size = cell * maps.count
      parts.append(label(explanation.text, x: 8, y: height + 20))
      let top = height + 32
      for (row, layer) in layers.enumerated() {
        for (column, head) in heads.enumerated() {
          let x = column * (size + margin + 8) + margin
          let y = top + row * (size + margin + 18) + margin
          parts.append(label("layer \(layer) head \(head)", x: x, y: y - (isOne ? margin - 12 : 4), size: 11))
          parts.append(map(maps, layer, head, x: x, y: y, cell: cell))
          if isOne { parts.append(words(explanation.words.texts, x: x, y: y, cell: cell)) }
        }
      }
      width = max(width, heads.count * (size + margin + 8) + margin + 8)
      height = top + layers.count * (size + margin + 18) + margin
    }
    return """
      <?xml version="1.0" encoding="UTF-8"?>
      <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" viewBox="0 0 \(width) \(height)" \
      font-family="sans-serif" role="img">
      <rect width="100%" height="100%" fill="#ffffff"/>
      \(parts.joined(separator: "\n"))
      </svg>

      """
  }

  private static func label(_ text: String, x: Int, y: Int, size: Int = 14) -> String {
    Markup.text("text", ["x": "\(x)", "y": "\(y)", "font-size": "\(size)", "fill": "#16181d"], text)
  }

  /// The darker the more, each row by its largest.
  private static func map(_ maps: AttentionMaps, _ layer: Int, _ head: Int, x: Int, y: Int, cell: Int) -> String {
    var cells: [String] = []
    for query in 0..<maps.count {
      let row = Array(maps.row(layer: layer, head: head, query: query))
      let most = max(row.max() ?? 0, .leastNormalMagnitude)
      for (key, weight) in row.enumerated() where weight / most > 0.01 {
        cells.append(
          Markup.element(
            "rect",
            [
              "x": "\(x + key * cell)", "y": "\(y + query * cell)", "width": "\(cell)", "height": "\(cell)",
              "fill-opacity": String(format: "%.2f", weight / most),
            ]))
      }
    }
    let size = cell * maps.count
    let frame: KeyValuePairs = [
      "x": "\(x)", "y": "\(y)", "width": "\(size)", "height": "\(size)", "fill": "none", "stroke": "#d5d9e0",
    ]
    return Markup.element("g", ["fill": "#0a3778"], cells.joined()) + Markup.element("rect", frame)
  }

  private static func words(_ words: [String], x: Int, y: Int, cell: Int) -> String {
    words.enumerated().map { index, word in
      let middle = index * cell + cell / 2 + 4
      return Markup.text(
        "text", ["x": "\(x - 6)", "y": "\(y + middle)", "font-size": "12", "text-anchor": "end"], word)
        + Markup.text(
          "text", ["font-size": "12", "transform": "translate(\(x + middle) \(y - 6)) rotate(-90)"], word)
    }.joined()
  }
}
