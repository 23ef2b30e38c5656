import Attention
import TensorFiles

/// A matrix of weights, `rows` outputs by `columns` inputs, as its file stores it.
struct WeightMatrix: Sendable {
  enum Storage: Sendable {
    /// In a mapped file.
    case mapped(MappedFile, Range<Int>)
    /// In memory.
    case memory(Tensor)
  }

  let type: GGUFType
  let rows: Int
  let columns: Int
  let storage: Storage

  /// The bytes of a row: whole blocks.
  var rowByteCount: Int { columns / type.blockLength * type.blockByteCount }

  func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    switch storage {
    case .mapped(let file, let range):
      try withExtendedLifetime(file) { try body(UnsafeRawBufferPointer(rebasing: file.bytes[range])) }
    case .memory(let tensor): try tensor.withUnsafeBytes(body)
    }
  }

  /// The numbers in float32.
  func floats() throws -> Tensor {
    try Tensor(shape: [rows, columns], elementType: .float32) { numbers in
      withBytes { type.read($0, into: numbers.bindMemory(to: Float.self)) }
    }
  }

  /// The same weights in a type that kernels read: as they are, or in float32 where the type is a rare one.
  func readable() throws -> WeightMatrix {
    if Self.kernelTypes.contains(type) { return self }
    return WeightMatrix(type: .f32, rows: rows, columns: columns, storage: .memory(try floats()))
  }

  /// The types that the kernels of the backends read.
  static let kernelTypes: Set<GGUFType> = [.f32, .f16, .bf16, .q8_0, .q4_0, .q4_1]
}
