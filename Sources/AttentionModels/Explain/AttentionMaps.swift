import Attention

/// The attention weights of every layer and head over one text.
public struct AttentionMaps: Sendable {
  public let layers: Int
  public let heads: Int

  /// The queries, and the keys, of each map.
  public let count: Int

  /// `[layer][head][query][key]`
  private let weights: [Float]

  /// - Parameter layers: Each layer's `weights`, `[1, heads, count, count]`.
  init(_ layers: [Tensor]) throws {
    let shape = layers.first?.shape ?? [1, 0, 0, 0]
    guard shape.count == 4, shape[2] == shape[3], layers.allSatisfy({ $0.shape == shape }) else {
      throw ModelError("attention", found: "weights of shape \(layers.map(\.shape))", expected: "square maps")
    }
    self.layers = layers.count
    heads = shape[1]
    count = shape[2]
    weights = layers.flatMap { $0.floats() }
  }

  private init(layers: Int, heads: Int, count: Int, weights: [Float]) {
    self.layers = layers
    self.heads = heads
    self.count = count
    self.weights = weights
  }

  /// How much a query looks at a key in one head; 0 where there is no such layer, head, query or key.
  public subscript(layer: Int, head: Int, query: Int, key: Int) -> Float {
    (0..<count).contains(key) ? row(layer: layer, head: head, query: query).dropFirst(key).first ?? 0 : 0
  }

  /// What a query looks at in one head, a number a key; nothing where there is no such layer, head or query.
  public func row(layer: Int, head: Int, query: Int) -> ArraySlice<Float> {
    guard (0..<layers).contains(layer), (0..<heads).contains(head), (0..<count).contains(query) else { return [] }
    let start = ((layer * heads + head) * count + query) * count
    return weights[start..<start + count]
  }

  /// The maps of words: the attention to a word is the sum of that to its tokens, that from a word the mean of that from
  /// its tokens. Rows that added up to 1 still do. A word without tokens looks at nothing.
  ///
  /// - Precondition: The ranges lie within the tokens.
  public func merged(_ groups: [Range<Int>]) -> AttentionMaps {
    var result: [Float] = []
    result.reserveCapacity(layers * heads * groups.count * groups.count)
    for map in 0..<layers * heads {
      for query in groups {
        for key in groups {
          var sum: Float = 0
          for i in query { for j in key { sum += weights[(map * count + i) * count + j] } }
          result.append(sum / Float(max(1, query.count)))
        }
      }
    }
    return AttentionMaps(layers: layers, heads: heads, count: groups.count, weights: result)
  }

  /// The mean of some layers' heads, `[query][key]`: of all, of one layer, or of one head.
  public func mean(layer: Int? = nil, head: Int? = nil) -> [[Float]] {
    let ownLayers = layer.map { [$0] } ?? Array(0..<layers)
    let ownHeads = head.map { [$0] } ?? Array(0..<heads)
    let scale = 1 / Float(max(1, ownLayers.count * ownHeads.count))
    return (0..<count).map { query in
      var sum = [Float](repeating: 0, count: count)
      for layer in ownLayers {
        for head in ownHeads {
          for (key, weight) in row(layer: layer, head: head, query: query).enumerated() { sum[key] += weight * scale }
        }
      }
      return sum
    }
  }

  /// Attention rollout (Abnar and Zuidema 2020): how much of each token's last state came from each token, if every layer
  /// mixed the states as its heads look on the mean, half of it being the state itself, which passes by.
  ///
  /// ```
  /// R₀ = 1        R = (½ A + ½ 1) · R    layer by layer, A the mean of the layer's heads
  /// ```
  public func rollout() -> [[Float]] {
    var result: [[Float]] = (0..<count).map { i in (0..<count).map { $0 == i ? 1 : 0 } }
    for layer in 0..<layers {
      let mean = mean(layer: layer)
      result = (0..<count).map { i in
        var row = result[i].map { $0 * 0.5 }
        for (k, weight) in mean[i].enumerated() where weight != 0 {
          for j in 0..<count { row[j] += 0.5 * weight * result[k][j] }
        }
        return row
      }
    }
    return result
  }
}
