import Foundation
import TensorFiles

/// Makes a GGUF file, version 3, of what is added to it: as much of the format as small models need.
package struct GGUFWriter {
  private static let alignment = 32

  private var entries = Data()
  private var entryCount: UInt64 = 0
  private var tensors = Data()
  private var tensorCount: UInt64 = 0
  private var data = Data()

  package init() {}

  /// Adds an entry of the metadata, in the widest type of its kind.
  package mutating func add(_ key: String, _ value: GGUFValue) {
    entryCount += 1
    entries.append(text: key)
    switch value {
    case .unsigned(let number): entries.append(kind: 10, number)
    case .signed(let number): entries.append(kind: 11, number)
    case .number(let number): entries.append(kind: 12, number.bitPattern)
    case .bool(let isTrue): entries.append(kind: 7, UInt8(isTrue ? 1 : 0))
    case .string(let text):
      entries.append(integer: UInt32(8))
      entries.append(text: text)
    case .strings(let texts):
      entries.append(arrayOf: 8, count: texts.count)
      for text in texts { entries.append(text: text) }
    case .integers(let numbers):
      entries.append(arrayOf: 11, count: numbers.count)
      for number in numbers { entries.append(integer: number) }
    case .numbers(let numbers):
      entries.append(arrayOf: 12, count: numbers.count)
      for number in numbers { entries.append(integer: number.bitPattern) }
    }
  }

  /// Adds a tensor, given the blocks of its rows.
  package mutating func add(_ name: String, shape: [Int], type: GGUFType, blocks: [UInt8]) {
    tensorCount += 1
    tensors.append(text: name)
    tensors.append(integer: UInt32(shape.count))
    for length in shape.reversed() { tensors.append(integer: UInt64(length)) }
    tensors.append(integer: type.rawValue)
    tensors.append(integer: UInt64(data.count))
    data.append(contentsOf: blocks)
    data.pad(to: Self.alignment)
  }

  package func write(to path: String) throws {
    var file = Data("GGUF".utf8)
    file.append(integer: UInt32(3))
    file.append(integer: tensorCount)
    file.append(integer: entryCount)
    file.append(entries)
    file.append(tensors)
    file.pad(to: Self.alignment)
    file.append(data)
    try file.write(to: URL(fileURLWithPath: path))
  }
}

extension Data {
  fileprivate mutating func append(integer: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: integer.littleEndian) { append(contentsOf: $0) }
  }

  fileprivate mutating func append(text: String) {
    append(integer: UInt64(text.utf8.count))
    append(contentsOf: text.utf8)
  }

  /// A value after the number of its type.
  fileprivate mutating func append(kind: UInt32, _ value: some FixedWidthInteger) {
    append(integer: kind)
    append(integer: value)
  }

  fileprivate mutating func append(arrayOf kind: UInt32, count: Int) {
    append(integer: UInt32(9))
    append(kind: kind, UInt64(count))
  }

  fileprivate mutating func pad(to alignment: Int) {
    append(contentsOf: repeatElement(0, count: (alignment - count % alignment) % alignment))
  }
}
