import Foundation

/// One JSON object a line, keys in snake case and the order of the alphabet.
enum JSON {
  static func line(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return String(decoding: try encoder.encode(value), as: UTF8.self)
  }
}

/// A number of JSON, `null` where it is not finite: JSON has no other numbers.
@propertyWrapper
struct Finite: Encodable {
  var wrappedValue: Double

  func encode(to encoder: any Encoder) throws { try OrNull(wrappedValue).encode(to: encoder) }
}

/// A value whose key is always there: `null` where there is none, or none that is a number of JSON.
struct OrNull<Value: Encodable>: Encodable {
  let value: Value?

  init(_ value: Value?) { self.value = value }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    guard let value, (value as? Double)?.isFinite ?? true else { return try container.encodeNil() }
    try container.encode(value)
  }
}
