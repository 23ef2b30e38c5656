import Attention
import TensorFiles

/// A file of weights, by the names that it gives them.
protocol WeightFile: Sendable {
  var path: String { get }

  /// The shape and place of a tensor; nil where there is none of this name.
  func find(_ name: String) throws -> (shape: [Int], type: GGUFType, file: MappedFile, range: Range<Int>)?
}

extension WeightFile {
  func has(_ name: String) throws -> Bool { try find(name) != nil }

  /// A matrix of that shape.
  ///
  /// - Throws: ``ModelError`` where there is none, or it has another shape.
  func matrix(_ name: String, rows: Int, columns: Int) throws -> WeightMatrix {
    let found = try require(name, shape: [rows, columns])
    return WeightMatrix(type: found.type, rows: rows, columns: columns, storage: .mapped(found.file, found.range))
  }

  /// A vector of that length, in float32.
  func vector(_ name: String, count: Int) throws -> [Float] {
    let found = try require(name, shape: [count])
    var numbers = [Float](repeating: 0, count: count)
    numbers.withUnsafeMutableBufferPointer { numbers in
      found.type.read(UnsafeRawBufferPointer(rebasing: found.file.bytes[found.range]), into: numbers)
    }
    return numbers
  }

  private func require(
    _ name: String, shape: [Int]
  ) throws -> (shape: [Int], type: GGUFType, file: MappedFile, range: Range<Int>) {
    guard let found = try find(name) else {
      throw ModelError(path, found: "no tensor '\(name)'", expected: "one of shape \(shape)")
    }
    guard found.shape == shape else {
      throw ModelError(path, found: "'\(name)' of shape \(found.shape)", expected: "shape \(shape)")
    }
    return found
  }
}

extension GGUF: WeightFile {
  func find(_ name: String) -> (shape: [Int], type: GGUFType, file: MappedFile, range: Range<Int>)? {
    self[name].map { ($0.shape, $0.type, file, $0.range) }
  }
}

/// A safetensors file, mapped.
struct MappedSafetensors: WeightFile {
  private let head: Safetensors
  private let file: MappedFile

  init(path: String) throws {
    head = try Safetensors(path: path)
    file = try MappedFile(path: path)
  }

  var path: String { head.path }

  func find(_ name: String) throws -> (shape: [Int], type: GGUFType, file: MappedFile, range: Range<Int>)? {
    guard let entry = head[name] else { return nil }
    let type: GGUFType =
      switch entry.typeName {
      case "F32": .f32
      case "F16": .f16
      case "BF16": .bf16
      default: throw ModelError(path, found: "'\(name)' of type \(entry.typeName)", expected: "F32, F16 or BF16")
      }
    let range = head.range(of: entry)
    // The head was read before the file was mapped: it may have been replaced between.
    guard range.upperBound <= file.bytes.count else {
      throw ModelError(path, found: "\(file.bytes.count) bytes", expected: "'\(name)' at bytes \(range)")
    }
    return (entry.shape, type, file, range)
  }
}
