import AttentionModels
import Foundation

/// An explanation in a terminal: the words shaded by the attention from one of them, and the heads that say most.
struct ExplainText {
  private let explanation: Explanation
  private let from: String?
  private let layer: Int?
  private let head: Int?

  /// Heads in the list.
  private static let listed = 8

  init(_ explanation: Explanation, from: String?, layer: Int?, head: Int?) {
    self.explanation = explanation
    self.from = from
    self.layer = layer
    self.head = head
  }

  func text(width: Int? = Console.width, inColors: Bool = Console.showsColors) throws -> String {
    switch explanation.attention {
    case .maps(let maps): whole(maps.merged(explanation.words.tokens), width ?? 100, inColors)
    case .top(let keys, let weights):
      try long(keys: keys.map { try $0.integers() }, weights: weights.map { $0.floats() })
    }
  }

  // MARK: Short texts

  private func whole(_ maps: AttentionMaps, _ width: Int, _ inColors: Bool) -> String {
    let words = explanation.words
    let word = from.flatMap(words.find) ?? mostTelling(maps)
    let telling = maps.tellingHeads(from: word, words: words)
    var lines: [String] = []
    let shown: [Float]
    if let layer {
      shown = maps.mean(layer: layer, head: head)[word]
      lines.append(
        "From '\(words.texts[word])', \(head.map { "layer \(layer) head \($0)" } ?? "the mean of layer \(layer)"):")
    } else if let first = telling.first {
      shown = Array(maps.row(layer: first.layer, head: first.head, query: word))
      lines.append("From '\(words.texts[word])', layer \(first.layer) head \(first.head):")
    } else {
      shown = maps.mean()[word]
      lines.append("From '\(words.texts[word])', the mean of all heads:")
    }
    lines += ["", shaded(shown, word, width, inColors), ""]
    if layer == nil {
      lines.append("Heads that say most about '\(words.texts[word])':")
      lines.append(table(telling, maps, word))
      let rollout = maps.rollout()[word]
      let top = rollout.indices.filter { $0 != word }.sorted { rollout[$0] > rollout[$1] }.prefix(4)
      lines += [
        "",
        "Rollout over all layers: "
          + top.map { "\(words.texts[$0]) \(Self.number(rollout[$0]))" }.joined(separator: ", "),
      ]
    } else {
      let order = shown.indices.sorted { shown[$0] > shown[$1] }.prefix(Self.listed)
      lines += order.map { "  \(Self.number(shown[$0]))  \(words.texts[$0])" }
    }
    return lines.joined(separator: "\n")
  }

  /// The word whose most telling head tells most.
  private func mostTelling(_ maps: AttentionMaps) -> Int {
    let words = explanation.words
    let content = words.areContent.indices.filter { words.areContent[$0] }
    let lifts = content.map { ($0, maps.tellingHeads(from: $0, words: words).first?.lift ?? 0) }
    return lifts.max { $0.1 < $1.1 }?.0 ?? 0
  }

  private func table(_ telling: [TellingHead], _ maps: AttentionMaps, _ word: Int) -> String {
    let words = explanation.words
    var table = Table(["head", "looks at", "weight", "then at"], rightAligned: [2], shrinking: 3)
    for one in telling.prefix(Self.listed) {
      let row = Array(maps.row(layer: one.layer, head: one.head, query: word))
      let others = row.indices.filter { $0 != one.target }.sorted { row[$0] > row[$1] }.prefix(3)
      table.add([
        "layer \(one.layer) head \(one.head)", words.texts[one.target], Self.number(one.weight),
        others.map { "\(words.texts[$0]) \(Self.number(row[$0]))" }.joined(separator: ", "),
      ])
    }
    return table.text()
  }

  /// The words, each on a ground that is the darker the more it is looked at; without colours, with its weight in percent.
  private func shaded(_ weights: [Float], _ word: Int, _ width: Int, _ inColors: Bool) -> String {
    let most = max(weights.max() ?? 0, .leastNormalMagnitude)
    var lines = [""]
    var used = 0
    for (index, text) in explanation.words.texts.enumerated() {
      let clean = text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : String($0) }.joined()
      let name = index == word ? "[\(clean)]" : clean
      let plain = inColors ? " \(name) " : "\(name)(\(Int((100 * weights[index]).rounded())))"
      if used > 0, used + plain.count + 1 > width {
        lines.append("")
        used = 0
      }
      lines[lines.count - 1] += (used > 0 ? " " : "") + (inColors ? Self.paint(plain, weights[index] / most) : plain)
      used += plain.count + 1
    }
    return lines.joined(separator: "\n")
  }

  /// Grey steps of the 256-colour palette, from the darkest ground with light letters to the lightest with dark ones.
  private static func paint(_ text: String, _ share: Float) -> String {
    let ground = 233 + Int((22 * min(max(share, 0), 1)).rounded())
    return "\u{1b}[48;5;\(ground);38;5;\(ground > 243 ? 16 : 255)m\(text)\u{1b}[0m"
  }

  private static func number(_ value: Float) -> String { String(format: "%.3f", value) }

  // MARK: Long texts

  /// Of a text too long for whole maps: where the heads' most attended keys gather.
  private func long(keys: [[Int]], weights: [[Float]]) throws -> String {
    let words = explanation.words
    let wordOfToken = words.tokens.enumerated().flatMap { index, range in range.map { _ in index } }
    let count = explanation.tokens.count
    let k = keys.first.map { $0.count / max(1, explanation.heads * count) } ?? 0
    let word = from.flatMap(words.find)
    let queries = word.map { words.tokens[$0] } ?? 0..<count
    var ties: [(layer: Int, head: Int, target: Int, weight: Float)] = []
    for layer in layer.map({ [$0] }) ?? Array(keys.indices) {
      for head in head.map({ [$0] }) ?? Array(0..<explanation.heads) {
        var sums: [Int: Float] = [:]
        for query in queries {
          for place in 0..<k {
            let at = (head * count + query) * k + place
            let key = keys[layer][at]
            guard key >= 0, words.areContent[wordOfToken[key]], !queries.contains(key) || word == nil else { continue }
            sums[wordOfToken[key], default: 0] += weights[layer][at] / Float(queries.count)
          }
        }
        if let best = sums.max(by: { ($0.value, $1.key) < ($1.value, $0.key) }) {
          ties.append((layer, head, best.key, best.value))
        }
      }
    }
    var table = Table(["head", "looks at", "word", "weight"], rightAligned: [2, 3], shrinking: 1)
    for tie in ties.sorted(by: { $0.weight > $1.weight }).prefix(Self.listed) {
      table.add([
        "layer \(tie.layer) head \(tie.head)", words.texts[tie.target], "#\(tie.target)", Self.number(tie.weight),
      ])
    }
    let subject = word.map { "'\(words.texts[$0])'" } ?? "all words"
    return
      "\(count) tokens, the \(k) most attended keys of each.\nFrom \(subject), most of the attention on one word:\n"
      + table.text()
  }
}
