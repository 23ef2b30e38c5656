import Attention
import Foundation
import TensorFiles

/// Case files for the commands to work on, written by the tests.
enum CaseFiles {
  /// A causal case with grouped heads and its expected output, which `error` is added to.
  @discardableResult
  static func write(to url: URL, seed: UInt64 = 1, error: Float = 0) throws -> AttentionResult {
    var numbers = SeededNumbers(seed: seed)
    var call = AttentionCall(
      query: try numbers.tensor([1, 4, 17, 32]), key: try numbers.tensor([1, 2, 33, 32]),
      value: try numbers.tensor([1, 2, 33, 32]))
    call.mask = .causal(.lowerRight)
    call.returning = [.output, .logSumExp, .weights, .scores]
    let result = try AttentionEngine(device: .named(["reference"])).attention(call)
    var tensors = ["query": call.query, "key": call.key, "value": call.value]
    if let output = result.output {
      tensors["expected.output"] = try Tensor(output.floats().map { $0 + error }, shape: output.shape)
    }
    tensors["expected.log_sum_exp"] = result.logSumExp
    try Safetensors.write(
      tensors,
      metadata: [
        "attention":
          #"{"causal": "lower_right", "outputs": ["output", "log_sum_exp", "weights", "scores"]}"#,
        "error": #"{"lowp": 1e-7}"#,
      ], to: url.path)
    return result
  }
}
