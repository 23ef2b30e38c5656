import Attention
import Testing

/// The operator in terms of this library: what ONNX says of each input and attribute, and the call that means the same.
///
/// `softmax_precision` asks for no more than float32, which is what the library computes in.
extension ONNXCase {
  /// The call that makes `Y`, and the weights and scores beside it.
  func call() throws -> AttentionCall {
    var call = try operands()
    call.scale = attributes.scale
    // 0 stands for no softcap.
    call.softcap = attributes.softcap.flatMap { $0 == 0 ? nil : $0 }
    if let past = try input("past_key") { call.past = (past, try #require(try input("past_value"))) }
    call.keyLengths = try input("nonpad_kv_seqlen")?.integers()
    call.mask = try mask(keys: keyCount(call))
    call.returning = [.output, .weights, .scores]
    return call
  }

  /// A tensor of three dimensions is `[B, L, H · D]`, which is layout bshd; of four, bhsd.
  private func operands() throws -> AttentionCall {
    let tensors = try ["Q", "K", "V"].map { try #require(try input($0)) }
    guard tensors[0].shape.count == 3 else {
      return AttentionCall(query: tensors[0], key: tensors[1], value: tensors[2])
    }
    let heads = [attributes.queryHeads, attributes.keyValueHeads, attributes.keyValueHeads]
    let split = try zip(tensors, heads).map { tensor, heads in
      let heads = try #require(heads)
      return try tensor.reshaped([tensor.shape[0], tensor.shape[1], heads, tensor.shape[2] / heads])
    }
    return AttentionCall(query: split[0], key: split[1], value: split[2], layout: .bshd)
  }

  /// Keys with the past ones.
  private func keyCount(_ call: AttentionCall) -> Int {
    call.key.shape[call.layout == .bhsd ? 2 : 1] + (call.past?.key.shape[2] ?? 0)
  }

  private func mask(keys: Int) throws -> AttentionMask {
    var mask = AttentionMask.none
    if attributes.isCausal == 1 { mask.causal = .lowerRight }
    // −1 stands for no limit.
    mask.windowLeft = attributes.leftWindowSize.flatMap { $0 < 0 ? nil : $0 }
    mask.windowRight = attributes.rightWindowSize.flatMap { $0 < 0 ? nil : $0 }
    // The queries begin after the past keys, or with a cache outside the operator end at its last key: the library's
    // lower right, key length by key length.
    if try input("nonpad_kv_seqlen") == nil { mask.queryOffset = try input("past_key")?.shape[2] ?? 0 }
    mask.tensor = try input("attn_mask")?.padded(keys: keys)
    return mask
  }

  /// The call whose scores are `qk_matmul_output` in modes 0 (the products) and 1 (after the softcap): nothing hidden.
  func unmaskedCall(softcap: Bool) throws -> AttentionCall {
    var call = try call()
    call.mask = .none
    call.keyLengths = nil
    if !softcap { call.softcap = nil }
    call.returning = .scores
    return call
  }
}

extension Tensor {
  /// A mask for fewer keys than there are hides the others.
  fileprivate func padded(keys: Int) throws -> Tensor {
    guard let width = shape.last, width != 1, width < keys else { return self }
    let elements = floats()
    let hidden: Float = elementType == .bool ? 0 : -.infinity
    var padded: [Float] = []
    for start in stride(from: 0, to: count, by: width) {
      padded += elements[start..<start + width] + Array(repeating: hidden, count: keys - width)
    }
    let shape = Array(shape.dropLast() + [keys])
    guard elementType == .bool else { return try Tensor(padded, shape: shape, as: elementType) }
    return try Tensor(padded.map { $0 != 0 }, shape: shape)
  }
}
