import Attention
import Foundation
import TensorFiles
import Testing

@Suite struct InsightRunTests {
  @Test(arguments: ["auto", "reference"])
  func optionsTakeThePlaceOfTheFiles(device: String) throws {
    let folder = try TemporaryFolder()
    let weights = try #require(try CaseFiles.write(to: folder["a.safetensors"]).weights).floats()
    let command = try Command([
      "run", folder["a.safetensors"].path, "-o", folder["b.safetensors"].path, "--device", device,
      "--outputs", "top_keys,received", "--top-k", "3",
    ])
    #expect(command.status == 0, "\(command.errors)")
    let file = try Safetensors(path: folder["b.safetensors"].path)
    #expect(file.entries.map(\.name).sorted() == ["received", "top_keys", "top_weights"])
    let keys = try file.tensor("top_keys")
    #expect(keys.elementType == .int32 && keys.shape == [1, 4, 17, 3])
    #expect(try file.tensor("top_weights").shape == [1, 4, 17, 3])
    // The first head's last query sees all 33 keys.
    let row = Array(weights[16 * 33..<17 * 33])
    let best = row.indices.sorted { row[$0] > row[$1] }.prefix(3)
    #expect(Array(try keys.integers()[16 * 3..<17 * 3]) == Array(best))
    let received = try file.tensor("received")
    #expect(received.shape == [1, 4, 33])
    let column = (0..<17).reduce(Float(0)) { $0 + weights[$1 * 33 + 5] }
    #expect(abs(received.floats()[5] - column) < 1e-5)
  }

  @Test(
    arguments: [
      ["--outputs", "outptu"], ["--outputs", ""], ["--top-k", "0"], ["--top-k", "65"],
      ["--top-k", "3", "--outputs", "output,weights"],
    ])
  func wrongOptionsAreWrongUsage(options: [String]) throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"])
    let command = try Command(["run", folder["a.safetensors"].path, "-o", folder["b.safetensors"].path] + options)
    #expect(command.status == 2)
    #expect(command.errors.contains(options[0]))
    #expect(try folder.names == ["a.safetensors"])
  }

  @Test func verifyHoldsThem() throws {
    let folder = try TemporaryFolder()
    try CaseFiles.write(to: folder["a.safetensors"])
    let file = try Safetensors(path: folder["a.safetensors"].path)
    let call = try AttentionCaseFile(path: folder["a.safetensors"].path).call
    var asked = call
    asked.returning = [.topKeys, .received]
    asked.topKeyCount = 4
    let result = try AttentionEngine(device: .named(["reference"])).attention(asked)
    var tensors = try Dictionary(uniqueKeysWithValues: ["query", "key", "value"].map { ($0, try file.tensor($0)) })
    tensors["expected.top_keys"] = result.topKeys
    tensors["expected.top_weights"] = result.topWeights
    tensors["expected.received"] = result.received
    let metadata = [
      "attention": #"{"causal": "lower_right", "outputs": ["top_weights", "received"], "top_k": 4}"#
    ]
    try Safetensors.write(tensors, metadata: metadata, to: folder["c.safetensors"].path)
    let right = try Command(["verify", folder["c.safetensors"].path])
    #expect(right.status == 0, "\(right.output) \(right.errors)")
    // The first query sees keys enough for a full list; its best key is another.
    var keys = try #require(result.topKeys).integers().map(Int32.init)
    keys[0] = (keys[0] + 1) % 17
    tensors["expected.top_keys"] = try Tensor(shape: [1, 4, 17, 4], elementType: .int32) { bytes in
      keys.withUnsafeBytes { bytes.copyMemory(from: $0) }
    }
    try Safetensors.write(tensors, metadata: metadata, to: folder["d.safetensors"].path)
    let wrong = try Command(["verify", folder["d.safetensors"].path])
    #expect(wrong.status == 1)
    #expect(wrong.output.contains("top_keys: key"))
  }
}
