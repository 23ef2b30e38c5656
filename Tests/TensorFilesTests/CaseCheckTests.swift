import Attention
import TensorFiles
import Testing

@Suite struct CaseCheckTests {
  let folder: TestFolder

  init() throws { folder = try TestFolder() }

  private static let shapes = [
    "output": [2, 4, 3, 6], "log_sum_exp": [2, 4, 3], "weights": [2, 4, 3, 5], "scores": [2, 4, 3, 5],
  ]

  /// A case that asks for everything and expects the same value everywhere.
  private func caseFile(
    expecting value: Float = 0, error: String? = nil, type: ElementType = .float32, names: [String]? = nil
  ) throws -> AttentionCaseFile {
    var builder = try CaseBuilder(attention: #"{"outputs": ["output", "log_sum_exp", "weights", "scores"]}"#)
    for name in ["query", "key", "value"] { builder.tensors[name] = try builder.tensors[name]?.converted(to: type) }
    for (name, shape) in Self.shapes where names?.contains(name) ?? true {
      builder.tensors["expected." + name] = try tensor(value, shape)
    }
    builder.metadata["error"] = error
    return try builder.read(in: folder)
  }

  private func tensor(_ value: Float, _ shape: [Int]) throws -> Tensor {
    try Tensor([Float](repeating: value, count: shape.reduce(1, *)), shape: shape, as: .float64)
  }

  /// A result of one value everywhere, but for one element of each tensor.
  private func result(_ value: Float, at index: Int = 0, off other: Float? = nil) throws -> AttentionResult {
    func tensor(_ name: String) throws -> Tensor {
      let shape = Self.shapes[name] ?? []
      var values = [Float](repeating: value, count: shape.reduce(1, *))
      values[index] = other ?? value
      return try Tensor(values, shape: shape)
    }
    return try AttentionResult(
      output: tensor("output"), logSumExp: tensor("log_sum_exp"), weights: tensor("weights"), scores: tensor("scores"))
  }

  private func check(_ name: String, of checks: [CaseCheck]) throws -> CaseCheck {
    try #require(checks.first { $0.name == name })
  }

  @Test(arguments: [0, -3.5, Float.infinity, -.infinity, .nan])
  func equalValuesPass(value: Float) throws {
    let checks = try caseFile(expecting: value).check(try result(value))
    #expect(checks.map(\.name) == ["log_sum_exp", "output", "scores", "weights"])
    for check in checks {
      #expect(check.passed)
      #expect(check.maximumError == 0)
      #expect(check.firstFailure == nil)
    }
  }

  @Test func aValueThatIsOffFails() throws {
    for check in try caseFile(expecting: 1).check(try result(1, at: 23, off: 1.001)) {
      #expect(check.failed)
      #expect(abs((check.maximumError ?? 0) - 0.001) < 1e-6)
      // Element 23 in each shape.
      let places = ["output": [0, 1, 0, 5], "log_sum_exp": [1, 3, 2]]
      #expect(check.firstFailure == places[check.name] ?? [0, 1, 1, 3])
    }
  }

  @Test(arguments: [
    (Float.nan, Float(0)), (0, .nan), (.infinity, 0), (0, .infinity), (.infinity, -.infinity), (.nan, .infinity),
    (-.infinity, .nan),
  ])
  func nonFiniteValuesMustMeetTheirLike(expected: Float, found: Float) throws {
    for check in try caseFile(expecting: expected).check(try result(expected, at: 7, off: found)) {
      #expect(check.failed)
      #expect(check.maximumError == .infinity)
      #expect(check.firstFailure != nil)
    }
  }

  /// The bound is twice the naive error, and 1e-5.
  private typealias Bound = (error: String?, type: ElementType, naive: Double)

  private static let bounds: [Bound] = [
    (#"{"lowp": 0.25, "f32math": 0.5}"#, .float16, 0.25),
    (#"{"f32math": 0.5}"#, .float16, 0.5),
    (#"{"lowp": Infinity, "f32math": 0.5}"#, .float16, 0.5),
    (#"{"lowp": NaN, "f32math": NaN}"#, .float16, 0x1p-9),
    (nil, .float32, 0x1p-22),
    (nil, .float16, 0x1p-9),
    (nil, .bfloat16, 0x1p-6),
  ]

  @Test(arguments: bounds)
  func outputBound(error: String?, type: ElementType, naive: Double) throws {
    let bound = 2 * naive + 1e-5
    let file = try caseFile(expecting: -4, error: error, type: type)
    let within = try check("output", of: file.check(try result(-4, off: -4 + Float(bound * 0.9))))
    #expect(within.passed)
    #expect(abs((within.bound ?? 0) - bound) < 1e-12)
    #expect(try check("output", of: file.check(try result(-4, off: -4 + Float(bound * 1.1)))).failed)
  }

  /// The error of the log-sum-exp and the scores is relative for large values, and the weights' never.
  @Test func boundsOfTheOtherResults() throws {
    let file = try caseFile(expecting: 1_000)
    let checks = file.check(try result(1_000, off: 1_000.009))
    #expect(try check("log_sum_exp", of: checks).passed)
    #expect(try check("scores", of: checks).passed)
    #expect(try check("weights", of: checks).failed)
    #expect(try check("log_sum_exp", of: file.check(try result(1_000, off: 1_000.011))).failed)

    let small = try caseFile(expecting: 0.001)
    let near = small.check(try result(0.001, off: 0.001009))
    #expect(near.allSatisfy { $0.passed })
    let far = small.check(try result(0.001, off: 0.001011))
    #expect(try check("log_sum_exp", of: far).failed)
    #expect(try check("scores", of: far).failed)
    #expect(try check("weights", of: far).failed)
  }

  @Test func resultsThatWereNotAskedForAreNotChecked() throws {
    var builder = try CaseBuilder()
    builder.tensors["expected.output"] = try CaseBuilder.zeros([2, 4, 3, 6])
    builder.tensors["expected.scores"] = try CaseBuilder.zeros([1])
    builder.tensors["expected.query_gradient"] = try CaseBuilder.zeros([1])
    let checks = try builder.read(in: folder).check(try result(0))
    #expect(checks.map(\.name) == ["output", "query_gradient", "scores"])
    #expect(checks.map(\.passed) == [true, false, false])
    #expect(checks.allSatisfy { !$0.failed })
    #expect(checks[2].outcome == .notChecked("the case does not ask for it"))
  }

  @Test func missingResultsAndWrongShapesFail() throws {
    let file = try caseFile()
    #expect(file.check(AttentionResult()).allSatisfy { $0.failed })
    let transposed = AttentionResult(output: try tensor(0, [2, 3, 4, 6]))
    let check = try check("output", of: file.check(transposed))
    #expect(check.outcome == .failed("expected shape [2, 4, 3, 6], found [2, 3, 4, 6]"))
    #expect(check.maximumError == nil)
  }

  @Test func emptyResultsPass() throws {
    var builder = try CaseBuilder()
    builder.tensors["query"] = try CaseBuilder.zeros([2, 4, 0, 4])
    builder.tensors["expected.output"] = try CaseBuilder.zeros([2, 4, 0, 6], .float64)
    let file = try builder.read(in: folder)
    let checks = file.check(AttentionResult(output: try CaseBuilder.zeros([2, 4, 0, 6])))
    #expect(checks.map(\.passed) == [true])
  }
}
