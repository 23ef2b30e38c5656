import Attention
import Foundation
import TensorFiles

/// Passages and their embeddings, kept in a safetensors file: `embeddings` `[passages, D]`, and in the metadata what the
/// passages are and which model made it.
public struct SearchIndex: Sendable {
  /// The model that made the embeddings, as it was named.
  public let model: String
  public private(set) var passages: [Passage]
  /// `[passages, dimension]`, rows of length 1.
  private var vectors: [Float]
  public let dimension: Int

  /// A passage that was found.
  public struct Hit: Sendable {
    public let passage: Passage
    /// The cosine of the angle between question and passage.
    public let score: Double
  }

  private static let name = "embeddings"

  public init(model: String, dimension: Int) {
    self.model = model
    self.dimension = dimension
    passages = []
    vectors = []
  }

  /// Reads an index.
  ///
  /// - Throws: `TensorFileError`, or ``ModelError`` where the file is no index.
  public init(path: String) throws {
    let file = try Safetensors(path: path)
    let embeddings = try file.tensor(Self.name)
    guard let model = file.metadata["model"], let text = file.metadata["passages"],
      let passages = try? JSONDecoder().decode([Passage].self, from: Data(text.utf8)), embeddings.shape.count == 2,
      embeddings.shape[0] == passages.count, embeddings.elementType == .float32
    else {
      throw ModelError(path, found: "another safetensors file", expected: "an index that attend embed has made")
    }
    self.model = model
    self.passages = passages
    dimension = embeddings.shape[1]
    vectors = embeddings.floats()
  }

  /// Writes the index, whole or not at all.
  public func write(to path: String) throws {
    let list = String(decoding: try JSONEncoder().encode(passages), as: UTF8.self)
    try Safetensors.write(
      [Self.name: try Tensor(vectors, shape: [passages.count, dimension])],
      metadata: ["model": model, "passages": list],
      to: path)
  }

  /// A passage's embedding; nothing where there is no such passage.
  public func embedding(_ index: Int) -> [Float] {
    passages.indices.contains(index) ? Array(vectors[index * dimension..<(index + 1) * dimension]) : []
  }

  /// Whether it is the encoder's own: it embeds the first passage as the index has it. What the model was called, and where it
  /// lay, does not matter.
  public func isMade(by encoder: TextEncoder) throws -> Bool {
    guard encoder.embeddingDimension == dimension else { return false }
    guard let passage = passages.first else { return true }
    let own = try encoder.embed([passage.text]).floats()
    return Self.cosine(own, embedding(0)) > Self.sameEmbedding
  }

  /// Another device's rounding changes the sixth digit, another model the first.
  private static let sameEmbedding = 0.999

  /// Of two rows of length 1.
  private static func cosine(_ a: [Float], _ b: [Float]) -> Double {
    zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }

  /// Makes the index hold these passages and no others. A text that it has embedded before is not embedded again, wherever
  /// it stands now: so work that was cut short goes on where it was.
  ///
  /// - Parameters:
  ///   - keep: Called now and then with what there is so far, to be written.
  ///   - progress: Called with the passages done.
  public mutating func update(
    to wanted: [Passage], by encoder: TextEncoder, keep: (SearchIndex) throws -> Void = { _ in },
    progress: (Int) -> Void = { _ in }
  ) throws {
    guard encoder.embeddingDimension == dimension else {
      throw ModelError(
        "index", found: "embeddings of \(dimension) numbers",
        expected: "\(encoder.embeddingDimension), as the model makes")
    }
    var known: [String: Int] = [:]
    for (index, passage) in passages.enumerated() { known[passage.text] = index }
    let old = self
    passages = []
    vectors = []
    // What is known already comes first, so that what is kept on the way loses nothing.
    for passage in wanted { if let index = known[passage.text] { append(passage, old.embedding(index)) } }
    let rest = wanted.filter { known[$0.text] == nil }
    progress(passages.count)
    var sinceKept = 0
    for batch in Self.batches(rest, encoder) {
      let embeddings = try encoder.embed(batch.map(\.text)).floats()
      for (index, passage) in batch.enumerated() {
        append(passage, Array(embeddings[index * dimension..<(index + 1) * dimension]))
      }
      progress(passages.count)
      sinceKept += batch.count
      if sinceKept >= Self.passagesBetweenWrites {
        try keep(self)
        sinceKept = 0
      }
    }
    try keep(self)
  }

  private static let passagesBetweenWrites = 2048
  private static let tokensOfBatch = 4096

  private mutating func append(_ passage: Passage, _ vector: [Float]) {
    passages.append(passage)
    vectors += vector
  }

  /// Passages that go through the model together.
  private static func batches(_ passages: [Passage], _ encoder: TextEncoder) -> [ArraySlice<Passage>] {
    var batches: [ArraySlice<Passage>] = []
    var start = 0
    var tokens = 0
    for (index, passage) in passages.enumerated() {
      let count = encoder.tokens(of: passage.text).ids.count
      if tokens + count > tokensOfBatch, index > start {
        batches.append(passages[start..<index])
        (start, tokens) = (index, 0)
      }
      tokens += count
    }
    if start < passages.count { batches.append(passages[start...]) }
    return batches
  }

  /// The passages most similar to a question, best first.
  ///
  /// A search is attention: the question is the query, the passages are the keys, and the most attended keys are the answer.
  /// The engine finds them without a list of all scores.
  ///
  /// - Parameter count: 1 to 64.
  public func search(_ question: String, count: Int, by encoder: TextEncoder, on engine: AttentionEngine) throws
    -> [Hit]
  {
    guard !passages.isEmpty else { return [] }
    let query = try encoder.embed([question])
    guard query.shape[1] == dimension else {
      throw ModelError("index", found: "embeddings of \(dimension) numbers", expected: "\(query.shape[1])")
    }
    var call = AttentionCall(
      query: try query.reshaped([1, 1, 1, dimension]),
      key: try Tensor(vectors, shape: [1, 1, passages.count, dimension]),
      value: try Tensor([Float](repeating: 0, count: passages.count), shape: [1, 1, passages.count, 1]))
    call.scale = 1
    call.returning = .topKeys
    call.topKeyCount = min(max(count, 1), AttentionCall.topKeyCounts.upperBound)
    let numbers = query.floats()
    let keys = try engine.attention(call).topKeys?.integers() ?? []
    return keys.filter { $0 >= 0 }.map { key in
      Hit(passage: passages[key], score: Self.cosine(numbers, embedding(key)))
    }
  }
}
