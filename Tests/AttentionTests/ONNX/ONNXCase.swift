import Attention
import Foundation
import TensorFiles
import Testing

/// One backend node test of the ONNX operator Attention.
struct ONNXCase {
  /// The metadata entry `case`.
  struct Description: Decodable {
    /// The attributes; absent where the case leaves the default.
    struct Attributes: Decodable {
      var isCausal: Int?
      var scale: Float?
      var softcap: Float?
      var queryHeads: Int?
      var keyValueHeads: Int?
      var leftWindowSize: Int?
      var rightWindowSize: Int?
      var scoreOutputMode: Int?

      enum CodingKeys: String, CodingKey {
        case scale, softcap
        case isCausal = "is_causal"
        case queryHeads = "q_num_heads"
        case keyValueHeads = "kv_num_heads"
        case leftWindowSize = "left_window_size"
        case rightWindowSize = "right_window_size"
        case scoreOutputMode = "qk_matmul_output_mode"
      }
    }

    let name: String
    let op: String
    let opset: Int
    let attributes: Attributes
    let rtol: Double
    let atol: Double
  }

  let description: Description
  private let file: Safetensors

  var attributes: Description.Attributes { description.attributes }
  var outputs: [String] { file.entries.map(\.name).filter { $0.hasPrefix("out.") }.map { String($0.dropFirst(4)) } }

  init(_ name: String) throws {
    file = try Safetensors(path: Fixture.path("onnx", name))
    let text = try #require(file.metadata["case"])
    description = try JSONDecoder().decode(Description.self, from: Data(text.utf8))
  }

  func input(_ name: String) throws -> Tensor? {
    file["in.\(name)"] == nil ? nil : try file.tensor("in.\(name)")
  }

  func output(_ name: String) throws -> Tensor { try file.tensor("out.\(name)") }
}
