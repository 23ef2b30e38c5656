/// A JSON value that should be a `Value`: itself, or what stands in its place.
///
/// Headers are decoded in this way so that a wrong type is reported with the tensor and key that it belongs to, and
/// only a wrong one pays for finding out what it is.
enum JSONField<Value: Decodable>: Decodable {
  case value(Value)
  case other(found: String)

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let value = try? container.decode(Value.self) {
      self = .value(value)
    } else {
      // JSONDecoder finds bad escapes and numbers that fit no type (1e400) only when it comes to them.
      self = .other(found: (try? container.decode(JSONValue.self))?.description ?? "something that does not parse")
    }
  }
}
