import Attention

/// The results of an attention call by the names that files give them: the one place that ties name, option and tensor.
enum CaseOutput: String, CaseIterable {
  case output
  case logSumExp = "log_sum_exp"
  case weights
  case scores

  /// Results of the backward pass. The contract names them; this version computes the forward pass only.
  static let gradients: Set = [
    "query_gradient", "key_gradient", "value_gradient", "mask_gradient", "sinks_gradient",
  ]

  var option: AttentionOutputs {
    switch self {
    case .output: .output
    case .logSumExp: .logSumExp
    case .weights: .weights
    case .scores: .scores
    }
  }

  func tensor(of result: AttentionResult) -> Tensor? {
    switch self {
    case .output: result.output
    case .logSumExp: result.logSumExp
    case .weights: result.weights
    case .scores: result.scores
    }
  }
}

extension Safetensors {
  /// Writes what a call returned: `output`, `log_sum_exp`, `weights` and `scores`, each where it is there.
  ///
  /// - Throws: ``TensorFileError`` as ``write(_:metadata:to:)``.
  public static func write(_ result: AttentionResult, metadata: [String: String] = [:], to path: String) throws {
    var tensors: [String: Tensor] = [:]
    for output in CaseOutput.allCases { tensors[output.rawValue] = output.tensor(of: result) }
    try write(tensors, metadata: metadata, to: path)
  }
}
