import Attention
import TensorFiles

/// A small case, to be changed by a test and written: B = 2, Hq = 4, Hkv = 2, Lq = 3, Lk = 5, D = 4, Dv = 6.
struct CaseBuilder {
  var tensors: [String: Tensor]
  var metadata: [String: String] = [:]

  init() throws {
    tensors = [
      "query": try Self.zeros([2, 4, 3, 4]), "key": try Self.zeros([2, 2, 5, 4]),
      "value": try Self.zeros([2, 2, 5, 6]),
    ]
  }

  /// The case with other options.
  init(attention: String) throws {
    try self.init()
    metadata["attention"] = attention
  }

  static func zeros(_ shape: [Int], _ type: ElementType = .float32) throws -> Tensor {
    try Tensor(shape: shape, elementType: type) { _ in }
  }

  static func integers(_ values: [Int], shape: [Int]? = nil, _ type: ElementType = .int32) throws -> Tensor {
    try Tensor(shape: shape ?? [values.count], elementType: type) { bytes in
      for (index, value) in values.enumerated() {
        withUnsafeBytes(of: value.littleEndian) {
          UnsafeMutableRawBufferPointer(rebasing: bytes[(index * type.byteCount)..<((index + 1) * type.byteCount)])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<type.byteCount]))
        }
      }
    }
  }

  /// Writes the case and reads it.
  func read(in folder: TestFolder) throws -> AttentionCaseFile {
    let path = folder.file("case.safetensors")
    try Safetensors.write(tensors, metadata: metadata, to: path)
    return try AttentionCaseFile(path: path)
  }
}
