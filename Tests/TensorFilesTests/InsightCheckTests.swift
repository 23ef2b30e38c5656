import Attention
import TensorFiles
import Testing

/// Most attended keys and attention received, in case files and held to what they expect.
@Suite struct InsightCheckTests {
  let folder: TestFolder

  init() throws { folder = try TestFolder() }

  /// One query of one head, three keys listed of five.
  private func caseFile(keys: [Int], type: ElementType = .int32, weights: [Float]? = nil) throws -> AttentionCaseFile {
    var builder = try CaseBuilder(attention: #"{"outputs": ["top_keys", "received"], "top_k": 3}"#)
    builder.tensors["query"] = try CaseBuilder.zeros([1, 2, 1, 4])
    builder.tensors["key"] = try CaseBuilder.zeros([1, 1, 5, 4])
    builder.tensors["value"] = try CaseBuilder.zeros([1, 1, 5, 6])
    builder.tensors["expected.top_keys"] = try CaseBuilder.integers(keys, shape: [1, 2, 1, 3], type)
    builder.tensors["expected.top_weights"] = try weights.map { try Tensor($0, shape: [1, 2, 1, 3]) }
    return try builder.read(in: folder)
  }

  private func result(_ keys: [Int], _ weights: [Float]) throws -> AttentionResult {
    AttentionResult(
      topKeys: try CaseBuilder.integers(keys, shape: [1, 2, 1, 3]),
      topWeights: try Tensor(weights, shape: [1, 2, 1, 3]))
  }

  private static let apart: [Float] = [0.5, 0.25, 0.125, 0.75, 0.25, 0]

  @Test(arguments: [ElementType.int32, .int64])
  func equalKeysPass(type: ElementType) throws {
    let keys = [4, 0, 2, 3, 1, -1]
    let checks = try caseFile(keys: keys, type: type, weights: Self.apart).check(try result(keys, Self.apart))
    #expect(checks.map(\.name) == ["top_keys", "top_weights"])
    #expect(checks.allSatisfy { $0.passed })
  }

  @Test(arguments: [0, 1, 3, 4, 5])
  func anotherKeyFails(place: Int) throws {
    let keys = [4, 0, 2, 3, 1, -1]
    var found = keys
    found[place] = 2
    for weights in [nil, Self.apart] {
      let check = try #require(try caseFile(keys: keys, weights: weights).check(try result(found, Self.apart)).first)
      #expect(check.outcome == .failed("key 2, expected \(keys[place])"))
      #expect(check.firstFailure == [0, place / 3, 0, place % 3])
    }
  }

  @Test func keysOfNearlyEqualWeightsMayChangePlaces() throws {
    let near: [Float] = [0.500_001, 0.5, 0, 0.75, 0.25, 0.125]
    let file = try caseFile(keys: [4, 0, -1, 3, 1, 2], weights: near)
    // The last of a full list may be exchanged with one that is not listed.
    #expect(file.check(try result([0, 4, -1, 3, 1, 0], near)).allSatisfy { $0.passed })
    #expect(try #require(file.check(try result([0, 4, -1, 1, 3, 2], near)).first).failed)
  }

  @Test func keysFarOutOfRangeAreOnlyWrong() throws {
    let file = try caseFile(keys: [.max, .min, 2, 3, 1, 0], type: .int64)
    #expect(try #require(file.check(try result([4, 0, 2, 3, 1, 0], Self.apart)).first).failed)
  }

  @Test func weightsAndSumsAreHeldToABound() throws {
    var builder = try CaseBuilder(attention: #"{"outputs": ["top_weights", "received"], "top_k": 1}"#)
    builder.tensors["expected.top_weights"] = try CaseBuilder.zeros([2, 4, 3, 1], .float64)
    builder.tensors["expected.received"] = try Tensor([Float](repeating: 100, count: 40), shape: [2, 4, 5])
    let file = try builder.read(in: folder)
    func checks(_ weight: Float, _ received: Float) throws -> [CaseCheck] {
      file.check(
        AttentionResult(
          topWeights: try Tensor([Float](repeating: weight, count: 24), shape: [2, 4, 3, 1]),
          received: try Tensor([Float](repeating: received, count: 40), shape: [2, 4, 5])))
    }
    #expect(try checks(9e-6, 100.0009).map(\.passed) == [true, true])
    #expect(try checks(1.1e-5, 100.0011).map(\.passed) == [false, false])
  }

  @Test func keysAreIntegers() throws {
    var builder = try CaseBuilder()
    builder.tensors["expected.top_keys"] = try CaseBuilder.zeros([2, 4, 3, 8])
    let error = #expect(throws: TensorFileError.self) { try builder.read(in: folder) }
    #expect(error?.part == .tensor("expected.top_keys"))
    #expect(error?.expected == "I32 or I64")
  }

  @Test func aListIsNeitherEmptyNorTooLong() throws {
    for k in [0, 65] {
      let builder = try CaseBuilder(attention: #"{"top_k": \#(k)}"#)
      let error = #expect(throws: TensorFileError.self) { try builder.read(in: folder) }
      #expect(error?.part == .argument("top_k"))
    }
  }

  @Test func namesOfResults() {
    #expect(AttentionOutputs(fileName: "top_keys") == .topKeys)
    #expect(AttentionOutputs(fileName: "top_weights") == .topKeys)
    #expect(AttentionOutputs(fileName: "outptu") == nil)
    for name in AttentionOutputs.fileNames { #expect(AttentionOutputs(fileName: name) != nil) }
  }
}
