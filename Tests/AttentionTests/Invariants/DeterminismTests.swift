import Attention
import AttentionTestSupport
import Testing

@Suite("Same bits")
struct DeterminismTests {
  static func call(_ type: ElementType, batch: Int = 3) throws -> AttentionCall {
    var call = try CallShape(type, batch: batch, heads: 6, keyHeads: 3, queries: 130, keys: 200, D: 40).call()
    call.mask = .causal(.lowerRight).tensor(try MaskTensorTests.mask([batch, 6, 130, 200], .float32))
    call.sinks = [0, 1, 2, -1, -2, 0.5]
    return call
  }

  @Test("Two runs", arguments: TestDevice.allAndReference, ElementType.storageTypes)
  func runs(device: TestDevice, type: ElementType) throws {
    let call = try Self.call(type)
    let first = try device.attention(call)
    for _ in 0..<3 {
      #expect(try device.attention(call).differences(from: first) == [])
    }
  }

  @Test("Another engine", arguments: TestDevice.all)
  func engines(device: TestDevice) throws {
    let call = try Self.call(.float32).inOnePass(device.kernel == .auto)
    let other = try AttentionEngine(device: .named([device.name]), kernel: device.kernel)
    let expected = try device.attention(call)
    #expect(try other.attention(call).differences(from: expected) == [])
  }

  @Test("Calls from several threads", arguments: TestDevice.all)
  func threads(device: TestDevice) async throws {
    let engine = device
    let call = try Self.call(.float16)
    let expected = try engine.attention(call)
    try await withThrowingTaskGroup(of: [String].self) { group in
      for _ in 0..<4 { group.addTask { try engine.attention(call).differences(from: expected) } }
      for try await differences in group { #expect(differences == []) }
    }
  }

  @Test("A head alone", arguments: TestDevice.allAndReference, ElementType.storageTypes)
  func alone(device: TestDevice, type: ElementType) throws {
    let call = try Self.call(type)
    let whole = try device.attention(call)
    for (b, h) in (0..<18).map({ ($0 / 6, $0 % 6) }) {
      let head = try device.attention(try call.head(b, h))
      #expect(head.output?.bits == whole.output.map { $0.plane(b, h) }, "head \(h) of entry \(b)")
      #expect(head.logSumExp?.bits == whole.logSumExp.map { $0.plane(b, h) }, "head \(h) of entry \(b)")
      #expect(head.weights?.bits == whole.weights.map { $0.plane(b, h) }, "head \(h) of entry \(b)")
      #expect(head.topKeys?.bits == whole.topKeys.map { $0.plane(b, h) }, "head \(h) of entry \(b)")
      #expect(head.topWeights?.bits == whole.topWeights.map { $0.plane(b, h) }, "head \(h) of entry \(b)")
      #expect(head.received?.bits == whole.received.map { $0.plane(b, h) }, "head \(h) of entry \(b)")
    }
  }
}

extension AttentionCall {
  /// One head of a call in layout `bhsd` that has two query heads a key/value head.
  fileprivate func head(_ b: Int, _ h: Int) throws -> AttentionCall {
    var call = AttentionCall(
      query: try query.head(b, h), key: try key.head(b, h / 2), value: try value.head(b, h / 2))
    call.mask = mask
    call.mask.tensor = try mask.tensor?.head(b, h)
    call.sinks = sinks.map { [$0[h]] }
    call.returning = returning
    return call
  }
}

extension Tensor {
  /// The bytes of `[b, h, …]`.
  fileprivate func plane(_ b: Int, _ h: Int) -> [UInt8] {
    let size = byteCount / (shape[0] * shape[1])
    return Array(bits[(b * shape[1] + h) * size..<(b * shape[1] + h + 1) * size])
  }

  fileprivate func head(_ b: Int, _ h: Int) throws -> Tensor {
    let bytes = plane(b, h)
    return try Tensor(shape: [1, 1] + shape.dropFirst(2), elementType: elementType) { $0.copyBytes(from: bytes) }
  }
}
