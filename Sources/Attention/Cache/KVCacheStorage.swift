/// How a cache keeps its keys and values, whatever type they come in.
public enum KVCacheStorage: String, Sendable, Hashable, CaseIterable, Codable {
  case float32 = "f32"
  case float16 = "f16"
  case bfloat16 = "bf16"
  /// Blocks of 32 elements of a row: a float16 scale, largest magnitude / 127, and a signed byte each. As in GGUF.
  // swift-format-ignore: AlwaysUseLowerCamelCase
  case q8_0
  /// Blocks of 32 elements of a row: a float16 scale, element of the largest magnitude / −8, and four bits each. As in GGUF.
  // swift-format-ignore: AlwaysUseLowerCamelCase
  case q4_0

  /// Whether elements are kept 32 at a time.
  public var isQuantized: Bool { self == .q8_0 || self == .q4_0 }

  /// The bytes of a row of `width` elements, a multiple of 32 where the storage is quantised.
  public func rowBytes(_ width: Int) -> Int {
    switch self {
    case .float32: 4 * width
    case .float16, .bfloat16: 2 * width
    case .q8_0: width / 32 * 34
    case .q4_0: width / 32 * 18
    }
  }

  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where no row can have so many elements.
  package func check(width: Int) throws {
    guard !isQuantized || width % 32 == 0 else {
      throw AttentionError.invalid(
        argument: "dimension", found: "\(width)", expected: "a multiple of 32 for \(rawValue)")
    }
  }

  var rows: RowStorage {
    switch self {
    case .float32: .float32
    case .float16: .float16
    case .bfloat16: .bfloat16
    case .q8_0: .q8_0
    case .q4_0: .q4_0
    }
  }
}
