/// A head that says something about a word: it looks from there at another word, and not because it always looks there.
public struct TellingHead: Sendable, Equatable {
  public let layer: Int
  public let head: Int
  /// The word it looks at.
  public let target: Int
  /// The attention from the word to the target.
  public let weight: Float
  /// How much of that is above what is usual for the head: see ``AttentionMaps/tellingHeads(from:words:)``.
  public let lift: Float
}

extension AttentionMaps {
  /// For each other word of content, the head that ties a word to it most, the most telling first.
  ///
  /// Many heads look at the next word whatever it says, or all at one word. So what counts is the lift: the weight, less
  /// what the head gives on the mean from other words at the same distance, or from other words to the same target,
  /// whichever is more.
  ///
  /// - Parameter words: The words that these are maps of.
  public func tellingHeads(from word: Int, words: Words) -> [TellingHead] {
    let content = words.areContent.indices.filter { words.areContent[$0] }
    return content.filter { $0 != word }.compactMap { target in
      (0..<layers * heads).map { map in
        let (layer, head) = (map / heads, map % heads)
        let weight = self[layer, head, word, target]
        let others = content.filter { $0 != word && $0 != target }
        let sameTarget = mean(others.map { self[layer, head, $0, target] })
        let distance = target - word
        let neighbours = content.filter { $0 != word && (0..<count).contains($0 + distance) }
        let sameDistance = mean(neighbours.map { self[layer, head, $0, $0 + distance] })
        return TellingHead(
          layer: layer, head: head, target: target, weight: weight, lift: weight - max(sameTarget, sameDistance))
      }.max { $0.lift < $1.lift }
    }.filter { $0.lift > 0 }.sorted { $0.lift > $1.lift }
  }

  private func mean(_ values: [Float]) -> Float { values.isEmpty ? 0 : values.reduce(0, +) / Float(values.count) }
}
