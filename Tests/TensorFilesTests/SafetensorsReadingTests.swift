import Attention
import TensorFiles
import Testing

@Suite struct SafetensorsReadingTests {
  let folder: TestFolder

  init() throws { folder = try TestFolder() }

  @Test func listsEveryTensorAndTheMetadata() throws {
    let path = try folder.write(
      SafetensorsBytes.file(
        header: #"""
          {"__metadata__": {"format": "pt", "note": "é\n"},
           "b": {"dtype": "I32", "shape": [1, 2], "data_offsets": [4, 12]},
           "a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
           "none": {"dtype": "F32", "shape": [0, 5], "data_offsets": [4, 4]}}
          """#,
        data: [0, 0, 0x80, 0x3f, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]))
    let file = try Safetensors(path: path)
    #expect(file.path == path)
    #expect(file.metadata == ["format": "pt", "note": "é\n"])
    #expect(file.entries.map(\.name) == ["a", "none", "b"])
    #expect(file["b"]?.offsets == 4..<12)
    #expect(file["missing"] == nil)
    #expect(try file.tensor("a").floats() == [1])
    #expect(try file.tensor("a").shape == [])
    #expect(try file.tensor("b").integers() == [1, -1])
    #expect(try file.tensor("none").shape == [0, 5])
  }

  @Test func readsTensorsAtAnyAlignment() throws {
    let values: [Float] = [1.5, -2, .infinity]
    let bytes = values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
    for offset in 0..<9 {
      // The spaces after the header shift the data as well.
      let header = #"""
        {"pad":{"dtype":"BOOL","shape":[\#(offset)],"data_offsets":[0,\#(offset)]},
        "x":{"dtype":"F32","shape":[3],"data_offsets":[\#(offset),\#(offset + 12)]}}
        """#
      let padding = [UInt8](repeating: 1, count: offset)
      let path = try folder.write(SafetensorsBytes.file(header: header, data: padding + bytes))
      #expect(try Safetensors(path: path).tensor("x").floats() == values)
    }
  }

  @Test(arguments: ["U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"])
  func listsTypesItCannotHold(type: String) throws {
    let path = try folder.write(
      SafetensorsBytes.file(entry: #"{"dtype":"\#(type)","shape":[3],"data_offsets":[0,3]}"#, data: [1, 2, 3]))
    let file = try Safetensors(path: path)
    #expect(file["x"]?.typeName == type)
    #expect(file["x"]?.elementType == nil)
    let error = try #require(throws: TensorFileError.self) { try file.tensor("x") }
    #expect(error.part == .tensor("x"))
    #expect(error.found == type)
    #expect(error.expected.contains("BF16"))
  }

  @Test func readsTypesSmallerThanAByte() throws {
    let path = try folder.write(
      SafetensorsBytes.file(entry: #"{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}"#, data: [1, 2, 3]))
    #expect(try Safetensors(path: path).entries.count == 1)
    let odd = try folder.write(
      SafetensorsBytes.file(entry: #"{"dtype":"F4","shape":[3],"data_offsets":[0,1]}"#, data: [1]))
    #expect(throws: TensorFileError.self) { try Safetensors(path: odd) }
  }

  @Test func rejectsBooleansThatAreNeither() throws {
    let path = try folder.write(
      SafetensorsBytes.file(entry: #"{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}"#, data: [1, 2]))
    let error = try #require(throws: TensorFileError.self) { try Safetensors(path: path).tensor("x") }
    #expect(error.description == "\(path): tensor 'x': expected 0 or 1, found a boolean of value 2")
  }

  @Test func namesAMissingTensor() throws {
    let path = try folder.write(SafetensorsBytes.file(header: "{}"))
    let error = try #require(throws: TensorFileError.self) { try Safetensors(path: path).tensor("x") }
    #expect(error.description == "\(path): tensor 'x': expected a tensor of this name, found none")
  }

  @Test func acceptsAHeaderPaddedWithSpaces() throws {
    let path = try folder.write(SafetensorsBytes.file(header: "{}      \n"))
    #expect(try Safetensors(path: path).entries.isEmpty)
  }
}
