import Attention
import Foundation
import TensorFiles
import Testing

@Suite struct GGUFTests {
  private static func fixture(_ name: String) -> String {
    Bundle.module.bundleURL.appendingPathComponent("Fixtures").appendingPathComponent(name).path
  }

  @Test func metadataOfEveryKind() throws {
    let file = try GGUF(path: Self.fixture("types.gguf"))
    #expect(file.metadata["text"]?.asString == "Grüße")
    #expect(file.metadata["u32"]?.asInteger == 7)
    #expect(file.metadata["i8"]?.asInteger == -3)
    #expect(file.metadata["f64"]?.asDouble == 1.5)
    #expect(file.metadata["yes"]?.asBool == true)
    #expect(file.metadata["strings"]?.asStrings == ["a", "bc", ""])
    #expect(file.metadata["ints"]?.asIntegers == [1, -2, 3])
    #expect(file.metadata["numbers"]?.asNumbers == [0.5, -1.25])
  }

  @Test(arguments: GGUFType.allCases)
  func numbersOfEveryType(type: GGUFType) throws {
    let file = try GGUF(path: Self.fixture("types.gguf"))
    let entry = try #require(file[type.name])
    #expect(entry.type == type)
    #expect(entry.shape == [2, 256])
    let truth = try Safetensors(path: Self.fixture("types.safetensors")).tensor(type.name).floats()
    // The scales multiply in another order than the original's in the K types.
    for (found, expected) in zip(try file.tensor(type.name).floats(), truth) {
      #expect(abs(found - expected) <= 2e-6 * max(abs(expected), 0.1))
    }
  }

  @Test func everyCutIsAnError() throws {
    let whole = try [UInt8](Data(contentsOf: URL(fileURLWithPath: Self.fixture("types.gguf"))))
    let folder = try TestFolder()
    for length in Array(0..<1600).filter({ $0 % 7 == 0 || $0 < 64 }) + [whole.count - 64] {
      let path = try folder.write(Array(whole[..<length]), as: "cut.gguf")
      #expect(throws: TensorFileError.self, "\(length) bytes") { try GGUF(path: path) }
    }
  }

  /// Any byte of the head replaced: an error, or a file whose tensors all lie within it.
  @Test func anyByteMayLie() throws {
    let whole = try [UInt8](Data(contentsOf: URL(fileURLWithPath: Self.fixture("types.gguf"))))
    let folder = try TestFolder()
    for position in 0..<1200 {
      for value: UInt8 in [0x00, 0x7f, 0xff] where whole[position] != value {
        var bytes = whole
        bytes[position] = value
        let path = try folder.write(bytes, as: "lie.gguf")
        guard let file = try? GGUF(path: path) else { continue }
        for entry in file.entries { _ = try file.tensor(entry.name) }
      }
    }
  }

  private static func bytes<N: FixedWidthInteger>(_ number: N) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian, Array.init)
  }

  private static func bytes(_ text: String) -> [UInt8] { bytes(UInt64(text.utf8.count)) + text.utf8 }

  /// A file of booleans as metadata, and of tensors of one shape that all lie in the same place.
  private static func file(keys: [String] = [], tensors: [String] = ["a"], shape: [UInt64] = [1]) -> [UInt8] {
    Array("GGUF".utf8) + bytes(UInt32(3)) + bytes(UInt64(tensors.count)) + bytes(UInt64(keys.count))
      + keys.flatMap { bytes($0) + bytes(UInt32(7)) + [1] }
      + tensors.flatMap { name in
        bytes(name) + bytes(UInt32(shape.count)) + shape.flatMap { bytes($0) } + bytes(UInt32(0)) + bytes(UInt64(0))
      } + [UInt8](repeating: 0, count: 64)
  }

  @Test func namesMayStandOnce() throws {
    let folder = try TestFolder()
    func error(_ bytes: [UInt8]) throws -> TensorFileError {
      let path = try folder.write(bytes, as: "names.gguf")
      return try #require(throws: TensorFileError.self) { try GGUF(path: path) }
    }
    let tensor = try error(Self.file(tensors: ["b", "a", "c", "a"]))
    #expect(tensor.part == .tensor("a"))
    #expect(tensor.found == "the name twice")
    let key = try error(Self.file(keys: ["a", "b", "a"]))
    #expect(key.part == .metadata("a"))
    #expect(key.found == "the key twice")
    let path = try folder.write(Self.file(keys: ["a", "b"], tensors: ["a", "b"]), as: "names.gguf")
    #expect(try GGUF(path: path).entries.map(\.name) == ["a", "b"])
  }

  @Test func shapesMayLie() throws {
    let folder = try TestFolder()
    let shapes: [[UInt64]] = [
      [.max], [1 << 63], [1 << 62], [0], [1, 1 << 63], [1 << 63, 1], [1 << 32, 1 << 32], [1, 0, 5],
    ]
    for shape in shapes {
      let path = try folder.write(Self.file(shape: shape), as: "shape.gguf")
      #expect(throws: TensorFileError.self, "\(shape)") { try GGUF(path: path) }
    }
    let path = try folder.write(Self.file(shape: [1, 2]), as: "shape.gguf")
    #expect(try GGUF(path: path)["a"]?.shape == [2, 1])
  }

  @Test func errorsNameWhatTheyFound() throws {
    let folder = try TestFolder()
    func error(_ bytes: [UInt8]) throws -> String {
      let path = try folder.write(bytes, as: "x.gguf")
      return try #require(throws: TensorFileError.self) { try GGUF(path: path) }.description
    }
    let whole = try [UInt8](Data(contentsOf: URL(fileURLWithPath: Self.fixture("types.gguf"))))
    #expect(try error(Array("not a model at all".utf8)).contains("'GGUF'"))
    #expect(try error([]).contains("empty"))
    var version = whole
    version[4] = 9
    #expect(try error(version).contains("version 9"))
    var tensors = whole
    tensors.replaceSubrange(8..<16, with: [UInt8](repeating: 0xff, count: 8))
    #expect(try error(tensors).contains("tensors"))
    #expect(try error(Array(whole.dropLast(600))).contains("within the file"))
    #expect(throws: TensorFileError.self) { try GGUF(path: folder.path) }
    #expect(throws: TensorFileError.self) { try GGUF(path: "/nowhere/a.gguf") }
  }
}
