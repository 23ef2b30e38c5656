/// The results of one call while they are being written. Devices and threads write disjoint heads and rows.
package struct ResultBuffers: Sendable {
  package let output: Tensor?
  package let logSumExp: Tensor?
  package let weights: Tensor?
  package let scores: Tensor?
  package let topKeys: Tensor?
  package let topWeights: Tensor?
  package let received: Tensor?

  package init(_ problem: AttentionProblem) throws {
    func tensor(_ wanted: AttentionOutputs, _ shape: [Int], _ elementType: ElementType) throws -> Tensor? {
      problem.outputs.contains(wanted) ? try Tensor(zeros: shape, elementType: elementType) : nil
    }
    output = try tensor(.output, problem.outputShape, problem.elementType)
    logSumExp = try tensor(.logSumExp, problem.logSumExpShape, .float32)
    weights = try tensor(.weights, problem.scoreShape, .float32)
    scores = try tensor(.scores, problem.scoreShape, .float32)
    topKeys = try tensor(.topKeys, problem.topKeyShape, .int32)
    topWeights = try tensor(.topKeys, problem.topKeyShape, .float32)
    received = try tensor(.received, problem.receivedShape, .float32)
    topKeys?.mutableElements(of: Int32.self).update(repeating: -1)
    // What no head writes lies past a packed sequence, a key length or a block table's last key: hidden.
    scores?.mutableElements(of: Float.self).update(repeating: -.infinity)
  }

  private init() {
    (output, logSumExp, weights, scores, topKeys, topWeights, received) = (nil, nil, nil, nil, nil, nil, nil)
  }

  /// Of a call whose results stay on its device.
  static let none = ResultBuffers()

  package var result: AttentionResult {
    AttentionResult(
      output: output, logSumExp: logSumExp, weights: weights, scores: scores, topKeys: topKeys, topWeights: topWeights,
      received: received)
  }
}

extension Tensor {
  /// The elements of a tensor that is still being made.
  package func mutableElements<Element>(of type: Element.Type) -> UnsafeMutableBufferPointer<Element> {
    UnsafeMutableRawBufferPointer(rebasing: storage.bytes[..<byteCount]).bindMemory(to: type)
  }

  /// The bytes of a tensor that is still being made, from element `offset` on.
  package func mutableBytes(from offset: Int) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(rebasing: storage.bytes[(offset * elementType.byteCount)..<byteCount])
  }
}
