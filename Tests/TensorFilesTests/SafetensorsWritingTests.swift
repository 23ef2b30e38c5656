import Attention
import Foundation
import TensorFiles
import Testing

@Suite struct SafetensorsWritingTests {
  let folder: TestFolder

  init() throws { folder = try TestFolder() }

  /// A tensor of every byte pattern that comes up: the type does not matter to a round trip.
  private func sample(_ type: ElementType, shape: [Int]) throws -> Tensor {
    try Tensor(shape: shape, elementType: type) { bytes in
      for index in bytes.indices {
        bytes[index] = UInt8(truncatingIfNeeded: type == .bool ? index % 2 : index * 37)
      }
    }
  }

  private func bytes(_ tensor: Tensor) -> [UInt8] { tensor.withUnsafeBytes { Array($0) } }

  @Test(arguments: ElementType.allCases, [[], [0], [7], [2, 3, 5], [3, 0, 2], [1, 1, 1, 1, 1, 1]])
  func roundTrip(type: ElementType, shape: [Int]) throws {
    let tensor = try sample(type, shape: shape)
    try Safetensors.write(["x": tensor], to: folder.file("a"))
    let read = try Safetensors(path: folder.file("a")).tensor("x")
    #expect(read.shape == shape)
    #expect(read.elementType == type)
    #expect(bytes(read) == bytes(tensor))
  }

  @Test func roundTripOfAllTypesTogether() throws {
    var tensors: [String: Tensor] = [:]
    // Odd sizes, so that what follows is not aligned.
    for type in ElementType.allCases { tensors[type.rawValue] = try sample(type, shape: [3, 5]) }
    let metadata = ["attention": #"{"scale": 1}"#, "a \"quote\"": "line\nline / é 🦆 \u{1}"]
    try Safetensors.write(tensors, metadata: metadata, to: folder.file("a"))
    let file = try Safetensors(path: folder.file("a"))
    #expect(file.metadata == metadata)
    #expect(file.entries.map(\.name) == tensors.keys.sorted())
    for (name, tensor) in tensors { #expect(bytes(try file.tensor(name)) == bytes(tensor)) }
  }

  @Test(arguments: ["", " ", "a/b.c", "\"", "\\", "\n", "é", "🦆", "__metadata"])
  func unusualNames(name: String) throws {
    try Safetensors.write([name: try Tensor([1], shape: [1])], to: folder.file("a"))
    #expect(try Safetensors(path: folder.file("a")).tensor(name).floats() == [1])
  }

  @Test func dataIsAlignedAndBytesAreTheSameEveryTime() throws {
    for length in 1...9 {
      let name = String(repeating: "n", count: length)
      let tensors = [name: try Tensor([1, 2], shape: [2]), "other": try Tensor([true], shape: [1])]
      let metadata = ["b": "1", "a": "2", "c": "3"]
      try Safetensors.write(tensors, metadata: metadata, to: folder.file("a"))
      try Safetensors.write(tensors, metadata: metadata, to: folder.file("b"))
      let contents = try folder.contents(of: "a")
      #expect(contents[0] % 8 == 0)
      #expect(contents == (try folder.contents(of: "b")))
    }
  }

  @Test func emptyFile() throws {
    try Safetensors.write([:], to: folder.file("a"))
    #expect(try folder.contents(of: "a") == SafetensorsBytes.file(header: "{}      "))
  }

  @Test func rejectsTheMetadatasName() throws {
    let error = try #require(throws: TensorFileError.self) {
      try Safetensors.write(["__metadata__": try Tensor([1], shape: [1])], to: folder.file("a"))
    }
    #expect(error.part == .tensor("__metadata__"))
    #expect(try folder.names.isEmpty)
  }

  @Test func replacesAFileAndLeavesNothingElse() throws {
    _ = try folder.write([1, 2, 3], as: "a")
    try Safetensors.write(["x": try Tensor([1], shape: [1])], to: folder.file("a"))
    #expect(try Safetensors(path: folder.file("a")).tensor("x").floats() == [1])
    #expect(try folder.names == ["a"])
  }

  @Test func failureKeepsTheOldFileAndLeavesNothingElse() throws {
    struct Failure: Error {}
    _ = try folder.write([1, 2, 3], as: "a")
    for name in ["a", "new"] {
      #expect(throws: Failure.self) {
        try AtomicFile.write(to: folder.file(name)) { file in
          try [UInt8](repeating: 7, count: 100_000).withUnsafeBytes { try file.append($0) }
          throw Failure()
        }
      }
    }
    #expect(try folder.contents(of: "a") == [1, 2, 3])
    #expect(try folder.names == ["a"])
  }

  @Test func namesAsLongAsTheFolderAllows() throws {
    let name = String(repeating: "n", count: 255)
    try Safetensors.write([:], to: folder.file(name))
    #expect(try folder.names == [name])
    // The temporary file can be made, the name cannot be given: nothing is left.
    #expect(throws: TensorFileError.self) { try Safetensors.write([:], to: folder.file(name + "n")) }
    #expect(try folder.names == [name])
  }

  @Test func pathsThatCannotBeWritten() throws {
    try FileManager.default.createDirectory(atPath: folder.file("inner"), withIntermediateDirectories: false)
    for path in [folder.file("missing/a"), folder.file("inner"), folder.file("inner/"), "/dev/null", "", "a\u{0}b"] {
      let error = try #require(throws: TensorFileError.self) { try Safetensors.write([:], to: path) }
      #expect(error.file == path)
    }
    #expect(try folder.names == ["inner"])
  }

  @Test func writesWhatACallReturned() throws {
    let result = AttentionResult(
      output: try Tensor([1, 2], shape: [1, 1, 1, 2], as: .float16), logSumExp: try Tensor([3], shape: [1, 1, 1]),
      weights: try Tensor([1], shape: [1, 1, 1, 1]), scores: try Tensor([4], shape: [1, 1, 1, 1]),
      topWeights: try Tensor([5], shape: [1, 1, 1, 1]), received: try Tensor([6], shape: [1, 1, 1]))
    try Safetensors.write(result, metadata: ["group": "g"], to: folder.file("a"))
    let file = try Safetensors(path: folder.file("a"))
    #expect(file.metadata == ["group": "g"])
    #expect(file.entries.map(\.name) == ["log_sum_exp", "output", "received", "scores", "top_weights", "weights"])
    #expect(try file.tensor("received").floats() == [6])
    #expect(try file.tensor("output").elementType == .float16)
    #expect(try file.tensor("scores").floats() == [4])

    try Safetensors.write(AttentionResult(output: result.output), to: folder.file("b"))
    #expect(try Safetensors(path: folder.file("b")).entries.map(\.name) == ["output"])
  }

  @Test func linksAreFollowed() throws {
    let folder = try TestFolder()
    let target = try folder.write([1], as: "target")
    let manager = FileManager.default
    try manager.setAttributes([.posixPermissions: 0o640], ofItemAtPath: target)
    try manager.createSymbolicLink(atPath: folder.file("link"), withDestinationPath: "target")
    try Safetensors.write(["x": try Tensor([1, 2], shape: [2])], to: folder.file("link"))
    #expect(try manager.destinationOfSymbolicLink(atPath: folder.file("link")) == "target")
    #expect(try Safetensors(path: target).tensor("x").floats() == [1, 2])
    #expect(try manager.attributesOfItem(atPath: target)[.posixPermissions] as? Int == 0o640)

    try manager.createSymbolicLink(atPath: folder.file("dangling"), withDestinationPath: "nowhere")
    #expect(throws: TensorFileError.self) { try Safetensors.write([:], to: folder.file("dangling")) }
    #expect(try manager.destinationOfSymbolicLink(atPath: folder.file("dangling")) == "nowhere")
  }
}
