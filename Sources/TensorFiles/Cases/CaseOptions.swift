import Attention

/// What the metadata entry `attention` of a case file says. Every key is optional, and null is the same as absent.
struct CaseOptions {
  private(set) var layout: TensorLayout?
  private(set) var scale: Float?
  private(set) var softcap: Float?
  private(set) var mask = AttentionMask.none
  private(set) var blockSize: BlockSize?
  private(set) var outputs: AttentionOutputs = .output

  /// The rows and keys of a block of the block mask.
  struct BlockSize {
    let query: Int
    let key: Int
    static let form = "[queryBlock, keyBlock], each an integer of 1 or more"
  }

  /// - Throws: ``TensorFileError`` for an unknown key or value, or one of the wrong type. Whether the numbers make sense
  ///   together is for ``AttentionProblem`` to say.
  init(_ file: Safetensors) throws {
    let object = try MetadataObject("attention", of: file)
    try object.allowOnly(["layout", "causal", "query_offset", "scale", "softcap", "window", "block_size", "outputs"])

    layout = try object.read("layout", expected: TensorLayout.allCases.map(\.rawValue).alternatives) {
      $0.asString.flatMap(TensorLayout.init)
    }
    scale = try object.read("scale", expected: "a number") { $0.asDouble.map(Float.init) }
    softcap = try object.read("softcap", expected: "a number") { $0.asDouble.map(Float.init) }

    let alignments = ["none"] + AttentionMask.CausalAlignment.allCases.map(\.rawValue)
    let causal = try object.read("causal", expected: alignments.alternatives) { value in
      value.asString.flatMap { alignments.contains($0) ? $0 : nil }
    }
    mask.causal = causal.flatMap(AttentionMask.CausalAlignment.init)
    mask.queryOffset = try object.read("query_offset", expected: "an integer") { $0.asInteger }
    let window = try object.read("window", expected: "[left, right], each an integer of 0 or more, or null") {
      $0.asArray.flatMap(Self.window)
    }
    mask.windowLeft = window?.left
    mask.windowRight = window?.right

    blockSize = try object.read("block_size", expected: BlockSize.form) { value in
      guard let sizes = value.asArray?.map(\.asInteger), sizes.count == 2, let query = sizes[0], let key = sizes[1],
        min(query, key) >= 1
      else { return nil }
      return BlockSize(query: query, key: key)
    }

    let names = try object.read("outputs", expected: "an array of one or more names") { value -> [String]? in
      guard let values = value.asArray, !values.isEmpty else { return nil }
      let names = values.compactMap(\.asString)
      return names.count == values.count ? names : nil
    }
    guard let names else { return }
    outputs = []
    for name in names {
      // The backward pass is not there yet: to leave the gradients out without a word would look like an answer.
      guard !CaseOutput.gradients.contains(name) else {
        throw object.error("outputs", found: "\"\(name)\"", expected: CaseOutput.forwardOnly)
      }
      guard let output = CaseOutput(rawValue: name) else {
        throw object.error(
          "outputs", found: "\"\(name)\"", expected: CaseOutput.allCases.map(\.rawValue).alternatives)
      }
      outputs.insert(output.option)
    }
  }

  private static func window(_ values: [JSONValue]) -> (left: Int?, right: Int?)? {
    guard values.count == 2, values.allSatisfy({ $0 == .null || ($0.asInteger ?? -1) >= 0 }) else { return nil }
    return (values[0].asInteger, values[1].asInteger)
  }
}

extension CaseOutput {
  /// What to expect of a file that asks for more.
  static let forwardOnly = "no gradients: this version computes the forward pass only"
}

extension [String] {
  /// The strings as a message lists them.
  fileprivate var alternatives: String { map { "\"\($0)\"" }.joined(separator: ", ") }
}
