import AttentionModels
import AttentionTestSupport
import Foundation
import TensorFiles
import Testing

/// Decoders whose matrices backends multiply by as the file has them, against float64 over the numbers that those stand for.
@Suite struct DecoderGGUFTests {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent("decoder-\(UUID().uuidString).gguf").path

  private func withDecoder(
    _ device: TestDevice, _ type: GGUFType, _ body: (TextGenerator, PlainDecoder) throws -> Void
  ) throws {
    try TinyModels.writeDecoder(to: path, in: type)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let plain = PlainDecoder(TinyModels.ggufShapes) { TinyModels.values($0, $1, in: type) }
    try body(try TextGenerator(.gguf(path), engine: try device.engine()), plain)
  }

  /// A prompt that OpenCL multiplies by tiles, and steps of one token.
  @Test(arguments: TestDevice.allAndReference, GGUFType.ofKernels)
  func generates(device: TestDevice, type: GGUFType) throws {
    try withDecoder(device, type) { generator, plain in
      var options = TextGenerator.Options()
      options.tokens = 12
      options.sampling = .greedy
      options.isRaw = true
      options.ignoresEnd = true
      let result = try generator.generate("Once upon a time", options: options)
      #expect(result.promptIDs == Array("Once upon a time".utf8).map(Int.init))
      #expect(result.tokenIDs.count == 12)
      // Each choice is the best, or one that float32 cannot tell from it.
      #expect(plain.shortfall(of: result) <= 1e-4)
    }
  }

  /// The numbers themselves, of as many rows as go by tiles and of few: the second layer's attention follows from every matrix
  /// of the first.
  @Test(arguments: TestDevice.allAndReference, GGUFType.ofKernels)
  func attends(device: TestDevice, type: GGUFType) throws {
    try withDecoder(device, type) { generator, plain in
      for text in ["Once upon a time", "Once"] {
        guard case .maps(let maps) = try generator.explain(text).attention else {
          Issue.record("a short text has whole maps")
          return
        }
        let (layers, heads, count) = (maps.layers, maps.heads, maps.count)
        #expect((layers, heads, count) == (2, 4, text.utf8.count))
        let found = (0..<layers * heads * count).flatMap {
          maps.row(layer: $0 / count / heads, head: $0 / count % heads, query: $0 % count)
        }
        let truth = Array(plain.run(text.utf8.map(Int.init)).attention.joined().joined().joined())
        #expect(found.count == truth.count && zip(found, truth).allSatisfy { abs(Double($0) - $1) <= 1e-5 })
      }
    }
  }
}
