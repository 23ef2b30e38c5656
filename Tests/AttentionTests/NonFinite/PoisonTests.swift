import Attention
import AttentionTestSupport
import Testing

/// NaN and infinities in what is visible reach the rows that see them, and no other.
@Suite("Non-finite inputs")
struct PoisonTests {
  /// Causal, so that each row sees other keys; the poison is in query 40 or key 40 of head 1.
  static let row = 40
  static let width = 20

  static func clean(_ type: ElementType) throws -> AttentionCall {
    var call = try CallShape(type, queries: 70, keys: 70, D: width).call()
    call.mask = .causal(.upperLeft)
    return call
  }

  struct Poison: Sendable, CustomStringConvertible {
    let value: Float
    let type: ElementType
    var description: String { "\(type.rawValue) \(value)" }
  }

  static let poisons = ElementType.storageTypes.flatMap { type in
    [Float.nan, .infinity, -.infinity].map { Poison(value: $0, type: type) }
  }

  /// Holds every row but those that `affected` names to the clean result, and the whole to the reference.
  func check(
    _ call: AttentionCall, clean: AttentionCall, on device: TestDevice, affected: (_ head: Int, _ query: Int) -> Bool,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> AttentionResult {
    let engine = device
    let (found, expected) = (try engine.attention(call), try engine.attention(clean))
    let (output, cleanOutput) = (try #require(found.output).floats(), try #require(expected.output).floats())
    let (lse, cleanLSE) = (try #require(found.logSumExp).floats(), try #require(expected.logSumExp).floats())
    for row in lse.indices where !affected(row / 70, row % 70) {
      let range = row * Self.width..<(row + 1) * Self.width
      // A value that is not finite changes the order of additions in its tile.
      let near = zip(output[range], cleanOutput[range]).allSatisfy { abs($0 - $1) <= 1e-6 + abs($1) / 128 }
      #expect(near && lse[row] == cleanLSE[row], "row \(row % 70) of head \(row / 70)", sourceLocation: sourceLocation)
    }
    #expect(try Expectation(call, naive: false).misses(found) == [], sourceLocation: sourceLocation)
    return found
  }

  @Test("In a query: its row", arguments: TestDevice.allAndReference, poisons)
  func query(device: TestDevice, poison: Poison) throws {
    let clean = try Self.clean(poison.type)
    var call = clean
    call.operands = .separate(
      query: try clean.query.replacing([0, 1, Self.row, 3], with: poison.value), key: clean.key, value: clean.value)
    let result = try check(call, clean: clean, on: device) { $0 == 1 && $1 == Self.row }
    let row = try #require(result.output).floats()[(70 + Self.row) * Self.width..<(71 + Self.row) * Self.width]
    #expect(row.allSatisfy { $0.isNaN })
    let lse = try #require(result.logSumExp).element(0, 1, Self.row)
    #expect(poison.value.isNaN ? lse.isNaN : lse == .infinity)
  }

  @Test("In a key: the rows that see it", arguments: TestDevice.allAndReference, poisons)
  func key(device: TestDevice, poison: Poison) throws {
    let clean = try Self.clean(poison.type)
    var call = clean
    call.operands = .separate(
      query: clean.query, key: try clean.key.replacing([0, 1, Self.row, 3], with: poison.value), value: clean.value)
    let result = try check(call, clean: clean, on: device) { $0 == 1 && $1 >= Self.row }
    for i in Self.row..<70 {
      let logit = poison.value * clean.query.element(0, 1, i, 3)
      let (output, lse) = (result.output?.element(0, 1, i, 0), try #require(result.logSumExp).element(0, 1, i))
      if logit == -.infinity {
        #expect(output?.isFinite == true && lse.isFinite, "row \(i)")
      } else {
        #expect(output?.isNaN == true && (logit.isNaN ? lse.isNaN : lse == .infinity), "row \(i)")
      }
    }
  }

  @Test("In a value: its column of the rows that see it", arguments: TestDevice.allAndReference, poisons)
  func value(device: TestDevice, poison: Poison) throws {
    let clean = try Self.clean(poison.type)
    var call = clean
    call.operands = .separate(
      query: clean.query, key: clean.key, value: try clean.value.replacing([0, 1, Self.row, 3], with: poison.value))
    let result = try check(call, clean: clean, on: device) { $0 == 1 && $1 >= Self.row }
    let output = try #require(result.output).floats()
    for i in Self.row..<70 {
      let row = Array(output[(70 + i) * Self.width..<(71 + i) * Self.width])
      #expect(poison.value.isNaN ? row[3].isNaN : row[3] == poison.value, "row \(i)")
      #expect(row.indices.allSatisfy { $0 == 3 || row[$0].isFinite }, "row \(i)")
    }
    #expect(result.logSumExp?.floats().allSatisfy(\.isFinite) == true)
  }

  @Test("In a mask: its row", arguments: TestDevice.allAndReference, poisons.filter { $0.value != -.infinity })
  func mask(device: TestDevice, poison: Poison) throws {
    let zeros = try Tensor(Array(repeating: Float(0), count: 2 * 70 * 70), shape: [2, 70, 70], as: poison.type)
    var clean = try Self.clean(.float32)
    clean.mask.tensor = zeros
    var call = clean
    call.mask.tensor = try zeros.replacing([1, Self.row, 12], with: poison.value)
    let result = try check(call, clean: clean, on: device) { $0 == 1 && $1 == Self.row }
    #expect(result.output?.element(0, 1, Self.row, 0).isNaN == true)
    let lse = try #require(result.logSumExp).element(0, 1, Self.row)
    #expect(poison.value.isNaN ? lse.isNaN : lse == .infinity)
  }

  @Test("In a sink: its head", arguments: TestDevice.allAndReference, [Float.nan, .infinity])
  func sink(device: TestDevice, value: Float) throws {
    var clean = try Self.clean(.float32)
    clean.sinks = [0.5, 0.5]
    var call = clean
    call.sinks = [0.5, value]
    let result = try check(call, clean: clean, on: device) { head, _ in head == 1 }
    #expect(result.output?.element(0, 1, 0, 0).isNaN == true)
    let lse = try #require(result.logSumExp).element(0, 1, 69)
    #expect(value.isNaN ? lse.isNaN : lse == .infinity)
  }

  @Test("A row of NaN weighs hidden keys with 0", arguments: TestDevice.allAndReference)
  func weights(device: TestDevice) throws {
    var call = try Self.clean(.float32)
    call.operands = .separate(
      query: try call.query.replacing([0, 1, Self.row, 3], with: .nan), key: call.key, value: call.value)
    let weights = try #require(try device.attention(call).weights)
    #expect(weights.element(0, 1, Self.row, Self.row).isNaN)
    #expect(weights.element(0, 1, Self.row, Self.row + 1) == 0)
    #expect(weights.element(0, 1, Self.row, 69) == 0)
  }
}
