import Attention

/// The results of an attention call by the names that files give them: the one place that ties name, option and tensor.
enum CaseOutput: String, CaseIterable {
  case output
  case logSumExp = "log_sum_exp"
  case weights
  case scores
  case topKeys = "top_keys"
  case topWeights = "top_weights"
  case received

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
    // The keys and their weights come together, whichever is named.
    case .topKeys, .topWeights: .topKeys
    case .received: .received
    }
  }

  func tensor(of result: AttentionResult) -> Tensor? {
    switch self {
    case .output: result.output
    case .logSumExp: result.logSumExp
    case .weights: result.weights
    case .scores: result.scores
    case .topKeys: result.topKeys
    case .topWeights: result.topWeights
    case .received: result.received
    }
  }
}

extension AttentionOutputs {
  /// The names of results in files: `output`, `log_sum_exp`, …
  public static var fileNames: [String] { CaseOutput.allCases.map(\.rawValue) }

  /// The option that gives the result of this name; nil for a name that is none of ``fileNames``. `top_keys` and
  /// `top_weights` are one.
  public init?(fileName: String) {
    guard let output = CaseOutput(rawValue: fileName) else { return nil }
    self = output.option
  }
}

extension Safetensors {
  /// Writes what a call returned, each result that is there under its name: `output`, `log_sum_exp`, `top_keys`, …
  ///
  /// - Throws: ``TensorFileError`` as ``write(_:metadata:to:)``.
  public static func write(_ result: AttentionResult, metadata: [String: String] = [:], to path: String) throws {
    var tensors: [String: Tensor] = [:]
    for output in CaseOutput.allCases { tensors[output.rawValue] = output.tensor(of: result) }
    try write(tensors, metadata: metadata, to: path)
  }
}
