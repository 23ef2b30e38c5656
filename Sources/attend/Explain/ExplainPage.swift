import AttentionModels
import Foundation

/// One or two explanations as a page: the layers × heads at a glance, and of the head that is chosen, or a mean, or the
/// rollout, each text's links and its map.
struct ExplainPage {
  private let explanations: [Explanation]
  private let model: String
  private let from: String?

  init(_ explanations: [Explanation], model: String, from: String?) {
    self.explanations = explanations
    self.model = model
    self.from = from
  }

  func write(to path: String) throws { try page().write(to: path) }

  func page() throws -> Page {
    let texts = try explanations.map(Text.init)
    let chosen = try texts.first.map { try choice(in: $0) } ?? Choice(word: 0, layer: 0, head: 0)
    let data = String(decoding: try JSONEncoder().encode(Data(texts: texts.map(\.data), chosen: chosen)), as: UTF8.self)
      // Nothing in a text may end the script.
      .replacingOccurrences(of: "<", with: "\\u003c")
    return Page(
      title: "attend explain", heading: "Who attends to whom", style: Self.style, content: content(texts),
      script: "const data = \(data);\n\(Self.script)")
  }

  // MARK: Data

  private struct Data: Encodable {
    let texts: [Text.Data]
    let chosen: Choice
  }

  /// What the page shows first.
  private struct Choice: Encodable {
    let word: Int
    let layer: Int
    let head: Int
  }

  private struct Text {
    struct Data: Encodable {
      let words: [String]
      let layers: Int
      let heads: Int
      /// `[layer][head][query][key]`, 16 bits each, little-endian, in base 64.
      let maps: String
      /// `[query][key]`, likewise.
      let rollout: String
    }

    let explanation: Explanation
    let maps: AttentionMaps

    init(_ explanation: Explanation) throws {
      guard case .maps(let maps) = explanation.attention else {
        throw Failure(
          .badInput,
          "the text: expected at most \(Explanation.longestWhole) tokens for a page, found \(explanation.tokens.count)")
      }
      self.explanation = explanation
      self.maps = maps.merged(explanation.words.tokens)
    }

    var data: Data {
      var all: [Float] = []
      for layer in 0..<maps.layers {
        for head in 0..<maps.heads {
          for query in 0..<maps.count { all += maps.row(layer: layer, head: head, query: query) }
        }
      }
      return Data(
        words: explanation.words.texts, layers: maps.layers, heads: maps.heads, maps: Self.packed(all),
        rollout: Self.packed(maps.rollout().flatMap { $0 }))
    }

    private static func packed(_ values: [Float]) -> String {
      let bytes = values.flatMap { value in
        let number = UInt16((min(max(value, 0), 1) * 65535).rounded())
        return [UInt8(number & 255), UInt8(number >> 8)]
      }
      return Foundation.Data(bytes).base64EncodedString()
    }
  }

  private func choice(in text: Text) throws -> Choice {
    let words = text.explanation.words
    let content = words.areContent.indices.filter { words.areContent[$0] }
    let telling = (from.flatMap(words.find).map { [$0] } ?? content).compactMap { word in
      text.maps.tellingHeads(from: word, words: words).first.map { (word, $0) }
    }
    guard let best = telling.max(by: { $0.1.lift < $1.1.lift }) else {
      return Choice(word: from.flatMap(words.find) ?? 0, layer: 0, head: 0)
    }
    return Choice(word: best.0, layer: best.1.layer, head: best.1.head)
  }

  // MARK: Markup

  private func content(_ texts: [Text]) -> String {
    let rows = texts.first?.maps.layers ?? 0
    let columns = texts.first?.maps.heads ?? 0
    let headings = (0..<columns).map { Markup.text("th", ["scope": "col"], "\($0)") }.joined()
    let body = (0..<rows).map { layer in
      Markup.element(
        "tr", [:],
        Markup.text("th", ["scope": "row"], "\(layer)")
          + (0..<columns).map { head in
            Markup.element(
              "td", [:],
              Markup.element(
                "button",
                [
                  "type": "button", "class": "head", "data-layer": "\(layer)", "data-head": "\(head)",
                  "aria-label": "layer \(layer) head \(head)", "tabindex": "-1",
                ], "<canvas></canvas>"))
          }.joined())
    }.joined()
    let panels = texts.enumerated().map { index, text in
      Markup.element(
        "section", ["class": "text", "data-text": "\(index)"],
        Markup.text("h2", [:], text.explanation.text)
          + "<p class=\"readout\" role=\"status\"></p><div class=\"links\"><div class=\"words left\" role=\"listbox\" "
          + "aria-label=\"Words: look from\"></div><svg aria-hidden=\"true\"></svg><div class=\"words right\"></div></div>"
          + "<h3>Map: from a row's word to a column's</h3><div class=\"scroll\" tabindex=\"0\" aria-label=\"Map\">"
          + "<canvas class=\"map\"></canvas></div>")
    }.joined()
    return """
      <p>Each word looks at others; how much is its attention, a share of 1. Model: \(Markup.escaped(model)). Choose what \
      to show, then a word.</p>
      <noscript><p class="warnings">This page draws with JavaScript, which is off.</p></noscript>
      <div class="choice" role="radiogroup" aria-label="Show">
      <label><input type="radio" name="view" value="head"/> one head</label>
      <label><input type="radio" name="view" value="layer"/> mean of its layer</label>
      <label><input type="radio" name="view" value="mean"/> mean of all heads</label>
      <label><input type="radio" name="view" value="rollout"/> rollout through all layers</label>
      <span class="scale" aria-hidden="true">0 <i></i> most</span>
      </div>
      <div class="texts">\(panels)</div>
      <section><h2>All heads</h2>
      <p>A row a layer, a column a head. The arrow keys move from head to head.</p>
      <div class="scroll"><table class="overview"><thead><tr><td></td>\(headings)</tr></thead><tbody>\(body)</tbody></table></div>
      </section>
      """
  }
}
