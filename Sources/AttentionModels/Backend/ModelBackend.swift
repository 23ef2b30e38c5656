import Attention

/// Where a model computes: matrices of float32 that stay there between layers, weights that were brought there, and the
/// operations of the layers.
///
/// A matrix has a row for each token. An operation makes a new matrix, but for those that say they change one.
protocol ModelBackend: AnyObject {
  associatedtype Matrix: AnyObject
  associatedtype Weights

  /// What attends, on one device or several.
  var engine: AttentionEngine { get }

  /// Brings weights to where the backend computes.
  func weights(_ matrix: WeightMatrix) throws -> Weights

  /// Brings numbers there.
  func matrix(_ numbers: [Float], rows: Int, columns: Int) throws -> Matrix

  /// Brings numbers back.
  func floats(of matrix: Matrix) throws -> [Float]

  /// Some rows of a matrix, by number.
  func rows(_ numbers: [Int], of matrix: Matrix) throws -> Matrix

  /// The rows of a table of weights.
  func embed(_ ids: [Int], _ table: Weights) throws -> Matrix

  /// `x · Wᵀ + bias` for each of some weights.
  func linear(_ x: Matrix, _ layers: [Linear<Self>]) throws -> [Matrix]

  /// Changes `y` to `y + x`.
  func add(_ x: Matrix, to y: Matrix) throws

  /// `scale · (s − mean s) / √(variance s + epsilon) + shift` of each row `s = x + residual`.
  func layerNorm(_ x: Matrix, adding residual: Matrix?, _ norm: LayerNorm<Self>) throws -> Matrix

  /// `scale · x / √(mean x² + epsilon)` of each row.
  func rmsNorm(_ x: Matrix, scale: Matrix, epsilon: Float) throws -> Matrix

  /// Changes `x` to its activation.
  func activate(_ x: Matrix, _ activation: Activation) throws

  /// Changes `gate` to `silu(gate) · up`.
  func gate(_ gate: Matrix, _ up: Matrix) throws

  /// Attention among the rows of each of some sequences, which stand one after the other.
  ///
  /// - Parameters:
  ///   - query: `[tokens, heads · D]`; key and value `[tokens, keyValueHeads · D]`.
  ///   - returning: What else to return; it concerns one sequence alone.
  func attention(
    query: Matrix, key: Matrix, value: Matrix, shape: AttentionShape, returning: AttentionOutputs
  ) throws -> (output: Matrix, result: AttentionResult)

  /// Changes `x`, `[tokens, heads · D]`, by turning each head's row to its position: 0, 1, 2, …
  func rotate(_ x: Matrix, heads: Int, by rotary: RotaryEmbedding) throws

  /// Appends a sequence's next keys and values to a cache, and attends from its next queries to all that is in it, each
  /// query to the keys up to its own. Queries and keys are rotated to their positions.
  func attention(
    query: Matrix, key: Matrix, value: Matrix, cache: KVCache, description: CacheDescription
  ) throws -> Matrix
}

/// The cache of a layer, and the attention that reads it.
struct CacheDescription: Sendable {
  var heads: Int
  var keyValueHeads: Int
  var headDimension: Int
  var rotary: RotaryEmbedding
  var storage = KVCacheStorage.float32
  /// Keeps memory constant: the first tokens and the last.
  var rolling: KVCache.Options.Rolling?
}

extension ModelBackend {
  /// An empty cache of one sequence's keys and values, for one layer.
  func makeCache(_ description: CacheDescription) throws -> KVCache {
    var options = KVCache.Options()
    options.rotary = description.rotary
    options.rolling = description.rolling
    return try engine.makeKVCache(
      heads: description.keyValueHeads, headDimension: description.headDimension, storage: description.storage,
      options: options)
  }
}

extension RotaryEmbedding {
  /// Turns the rows of `heads` heads side by side, `[rows, heads · D]`, to the positions 0, 1, 2, …
  func rotate(_ x: UnsafeMutableBufferPointer<Float>, rows: Int, heads: Int) {
    guard rows > 0, heads > 0 else { return }
    let width = x.count / (rows * heads)
    angles(at: Array(0..<rows)).withUnsafeBufferPointer { angles in
      for row in 0..<rows {
        let cosines = 2 * row * pairs..<(2 * row + 1) * pairs
        let sines = cosines.upperBound..<cosines.upperBound + pairs
        for head in 0..<heads {
          let first = (row * heads + head) * width
          rotate(
            UnsafeMutableBufferPointer(rebasing: x[first..<first + width]),
            cosines: UnsafeBufferPointer(rebasing: angles[cosines]),
            sines: UnsafeBufferPointer(rebasing: angles[sines]))
        }
      }
    }
  }
}

/// A layer `x · Wᵀ + bias`.
struct Linear<Backend: ModelBackend> {
  var weights: Backend.Weights
  var bias: Backend.Matrix?
}

struct LayerNorm<Backend: ModelBackend> {
  var scale: Backend.Matrix
  var shift: Backend.Matrix
  var epsilon: Float
}

enum Activation: String, Sendable {
  /// `x · Φ(x)`, Φ the normal distribution's.
  case gelu
  /// The same with Φ by the hyperbolic tangent.
  case geluTanh
}

/// The attention of a layer.
struct AttentionShape: Sendable {
  var heads: Int
  var keyValueHeads: Int
  var headDimension: Int
  /// The tokens of each sequence.
  var lengths: [Int]
  var isCausal = false
  /// How many keys ``AttentionOutputs/topKeys`` lists.
  var topKeyCount = 8

  var tokenCount: Int { lengths.reduce(0, +) }
}
