import Foundation

/// The layers of models, written out in float64, a row an array.
package enum PlainLayers {
  package typealias Rows = [[Double]]

  /// A tensor of a tiny model, as rows.
  package static func tensor(_ name: String, _ shape: [Int]) -> Rows {
    rows(TinyModels.values(name, shape), shape)
  }

  package static func rows(_ numbers: [Float], _ shape: [Int]) -> Rows {
    let width = shape.last ?? 1
    return stride(from: 0, to: numbers.count, by: width).map { numbers[$0..<$0 + width].map(Double.init) }
  }

  package static func linear(_ x: Rows, _ weights: Rows, _ bias: [Double]? = nil) -> Rows {
    x.map { row in
      weights.enumerated().map { n, weight in zip(row, weight).reduce(bias?[n] ?? 0) { $0 + $1.0 * $1.1 } }
    }
  }

  package static func add(_ x: Rows, _ y: Rows) -> Rows { zip(x, y).map { zip($0, $1).map(+) } }

  package static func layerNorm(_ x: Rows, _ scale: [Double], _ shift: [Double], epsilon: Double) -> Rows {
    x.map { row in
      let mean = row.reduce(0, +) / Double(row.count)
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(row.count)
      return row.indices.map { (row[$0] - mean) / (variance + epsilon).squareRoot() * scale[$0] + shift[$0] }
    }
  }

  package static func rmsNorm(_ x: Rows, _ scale: [Double], epsilon: Double) -> Rows {
    x.map { row in
      let mean = row.reduce(0) { $0 + $1 * $1 } / Double(row.count)
      return row.indices.map { row[$0] / (mean + epsilon).squareRoot() * scale[$0] }
    }
  }

  package static func gelu(_ x: Rows) -> Rows { x.map { $0.map { 0.5 * $0 * (1 + erf($0 / 2.0.squareRoot())) } } }

  package static func silu(_ x: Rows) -> Rows { x.map { $0.map { $0 / (1 + exp(-$0)) } } }

  /// The rows of each head turned to positions 0, 1, 2, …, elements `p` and `p + D / 2` together.
  package static func rotate(_ x: Rows, dimension: Int, base: Double) -> Rows {
    x.enumerated().map { position, row in
      var row = row
      for start in stride(from: 0, to: row.count, by: dimension) {
        for p in 0..<dimension / 2 {
          let angle = Double(position) * pow(base, -2 * Double(p) / Double(dimension))
          let (a, b) = (row[start + p], row[start + p + dimension / 2])
          row[start + p] = a * cos(angle) - b * sin(angle)
          row[start + p + dimension / 2] = b * cos(angle) + a * sin(angle)
        }
      }
      return row
    }
  }

  /// The heads' outputs side by side, and the weights `[head][query][key]`.
  package static func attention(
    _ query: Rows, _ key: Rows, _ value: Rows, heads: Int, keyValueHeads: Int, isCausal: Bool
  ) -> (output: Rows, weights: [Rows]) {
    let dimension = (query.first?.count ?? 0) / heads
    var output: Rows = query.map { _ in [] }
    var weights: [Rows] = []
    for head in 0..<heads {
      let q0 = head * dimension
      let k0 = head / (heads / keyValueHeads) * dimension
      var map: Rows = []
      for (i, row) in query.enumerated() {
        let scores = key.enumerated().map { j, other in
          isCausal && j > i
            ? -Double.infinity
            : (0..<dimension).reduce(0) { $0 + row[q0 + $1] * other[k0 + $1] } / Double(dimension).squareRoot()
        }
        let most = scores.max() ?? 0
        let exponentials = scores.map { exp($0 - most) }
        let sum = exponentials.reduce(0, +)
        let shares = exponentials.map { $0 / sum }
        map.append(shares)
        output[i] += (0..<dimension).map { d in zip(shares, value).reduce(0) { $0 + $1.0 * $1.1[k0 + d] } }
      }
      weights.append(map)
    }
    return (output, weights)
  }
}
