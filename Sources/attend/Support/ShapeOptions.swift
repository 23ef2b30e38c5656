import ArgumentParser
import Attention

/// The shape options of `bench`, `plan` and `tune`. Several comma-separated values make a grid.
struct ShapeOptions: ParsableArguments {
  /// For the commands' help.
  static let grids = "Several values of a shape option, separated by commas, make a grid: --query-length 512,2048."

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Sequences at once. Default: 1.", valueName: "n"),
    transform: List.sizes)
  var batch: List<Int>?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Query heads. Default: 8.", valueName: "n"), transform: List.sizes)
  var heads: List<Int>?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Key/value heads, a divisor of the query heads. Default: as many.", valueName: "n"),
    transform: List.sizes)
  var kvHeads: List<Int>?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Queries of a sequence. Default: as many as keys; with --key-lengths 1.", valueName: "n"),
    transform: List.sizes)
  var queryLength: List<Int>?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Keys of a sequence. Default: as many as queries.", valueName: "n"),
    transform: List.sizes)
  var keyLength: List<Int>?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Dimension of queries and keys. Default: 64.", valueName: "n"),
    transform: List.sizes)
  var headDimension: List<Int>?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Dimension of values. Default: that of the keys.", valueName: "n"),
    transform: List.sizes)
  var valueDimension: List<Int>?

  @Option(help: ArgumentHelp("Element types. Default: all three.", valueName: "type"))
  var dtype: List<StorageType>?

  @Flag(help: "Hide the keys after each query (aligned at the last).")
  var causal = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Keys seen before and after each query; 'none' is no limit.", valueName: "left,right"),
    transform: Window.parse)
  var window: Window?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Keys of each sequence of one ragged batch, in place of --batch and --key-length.", valueName: "a,b,c"),
    transform: List.sizes)
  var keyLengths: List<Int>?

  private var sizes: [(name: String, list: List<Int>?)] {
    [
      ("--batch", batch), ("--heads", heads), ("--kv-heads", kvHeads), ("--query-length", queryLength),
      ("--key-length", keyLength), ("--head-dimension", headDimension), ("--value-dimension", valueDimension),
    ]
  }

  /// The names of the options that are given.
  var given: [String] {
    let others = [
      ("--dtype", dtype != nil), ("--causal", causal), ("--window", window != nil),
      ("--key-lengths", keyLengths != nil),
    ]
    return sizes.filter { $0.list != nil }.map(\.name) + others.filter(\.1).map(\.0)
  }

  /// Refuses shapes without anything to compute, whose time says nothing.
  func requireWork() throws {
    for (name, list) in sizes where list?.values.contains(0) ?? false {
      throw ValidationError("\(name): expected 1 or more, found 0.")
    }
    if let lengths = keyLengths?.values, lengths.allSatisfy({ $0 == 0 }) {
      throw ValidationError("--key-lengths: expected some above 0, found \(lengths).")
    }
  }

  func validate() throws {
    if let lengths = keyLengths?.values {
      guard batch == nil, keyLength == nil else {
        throw ValidationError("--key-lengths: expected no --batch and --key-length beside it.")
      }
      guard lengths.allSatisfy({ $0 < 1 << 30 }) else {
        throw ValidationError("--key-lengths: expected lengths below 2^30, found \(lengths).")
      }
    }
  }

  /// The shapes of the grid.
  ///
  /// - Parameters:
  ///   - defaultLengths: Of queries and keys, where no option says any.
  ///   - kvTypes: Storages of caches, one more dimension of the grid.
  func shapes(defaultLengths: [Int], kvTypes: List<KVCacheStorage>? = nil) throws -> [Shape] {
    try grid(defaultLengths: defaultLengths).flatMap { shape in
      guard let kvTypes else { return [shape] }
      return try kvTypes.values.map { storage in
        var shape = shape
        shape.kvType = storage
        for width in [shape.headDimension, shape.valueDimension] { try storage.check(width: width) }
        return shape
      }
    }
  }

  private func grid(defaultLengths: [Int]) throws -> [Shape] {
    var shapes: [Shape] = []
    for batch in values(batch, [keyLengths?.values.count ?? 1]) {
      for heads in values(heads, [8]) {
        for kvHeads in values(kvHeads, [heads]) {
          for queryLength in values(queryLength, keyLength?.values ?? (keyLengths == nil ? defaultLengths : [1])) {
            for keyLength in values(keyLength, [keyLengths?.values.max() ?? queryLength]) {
              for headDimension in values(headDimension, [64]) {
                for valueDimension in values(valueDimension, [headDimension]) {
                  for dtype in dtype?.values ?? StorageType.allCases {
                    shapes.append(
                      Shape(
                        batch: batch, heads: heads, kvHeads: kvHeads, queryLength: queryLength, keyLength: keyLength,
                        headDimension: headDimension, valueDimension: valueDimension, dtype: dtype, causal: causal,
                        window: window, keyLengths: keyLengths?.values))
                  }
                }
              }
            }
          }
        }
      }
    }
    for shape in shapes { _ = try shape.problem() }
    return shapes
  }

  private func values(_ list: List<Int>?, _ standard: [Int]) -> [Int] { list?.values ?? standard }
}

/// One point of the grid.
struct Shape {
  let batch: Int
  let heads: Int
  let kvHeads: Int
  let queryLength: Int
  let keyLength: Int
  let headDimension: Int
  let valueDimension: Int
  let dtype: StorageType
  let causal: Bool
  let window: Window?
  /// Of each sequence, where they are not all `keyLength`.
  var keyLengths: [Int]?
  /// The storage of the cache that the keys and values are in, where they are in one.
  var kvType: KVCacheStorage?

  var mask: AttentionMask {
    let mask = causal ? AttentionMask.causal(.lowerRight) : .none
    return window.map { mask.window(left: $0.left, right: $0.right) } ?? mask
  }

  func problem(outputs: AttentionOutputs = .output) throws -> AttentionProblem {
    guard keyLengths == nil else {
      var call = try call()
      call.returning = outputs
      return try AttentionProblem(call)
    }
    return try AttentionProblem(
      batch: batch, queryHeads: heads, keyValueHeads: kvHeads, queryLength: queryLength, keyLength: keyLength,
      headDimension: headDimension, valueDimension: valueDimension, elementType: dtype.elementType, mask: mask,
      outputs: outputs)
  }

  /// A call of this shape on numbers that look random.
  func call() throws -> AttentionCall {
    var numbers = SeededNumbers(seed: 1)
    var call = AttentionCall(
      query: try numbers.tensor([batch, heads, queryLength, headDimension], dtype.elementType),
      key: try numbers.tensor([batch, kvHeads, keyLength, headDimension], dtype.elementType),
      value: try numbers.tensor([batch, kvHeads, keyLength, valueDimension], dtype.elementType))
    call.mask = mask
    call.keyLengths = keyLengths
    return call
  }

  var title: String {
    let heads = kvHeads == heads ? "\(heads)" : "\(heads)/\(kvHeads)"
    let length = queryLength == keyLength ? "\(queryLength)" : "\(queryLength)×\(keyLength)"
    let width = headDimension == valueDimension ? "\(headDimension)" : "\(headDimension)/\(valueDimension)"
    let window = window.map { " window \($0.description)" } ?? ""
    let ragged = keyLengths.map { " lengths \($0.map(String.init).joined(separator: ","))" } ?? ""
    let cache = kvType.map { " cache \($0.rawValue)" } ?? ""
    return
      "\(dtype.rawValue) B\(batch) H\(heads) L\(length) D\(width)\(causal ? " causal" : "")\(window)\(ragged)\(cache)"
  }
}

extension KVCacheStorage: ExpressibleByArgument {}

enum StorageType: String, CaseIterable, ExpressibleByArgument {
  case f32, f16, bf16

  var elementType: ElementType {
    switch self {
    case .f32: .float32
    case .f16: .float16
    case .bf16: .bfloat16
    }
  }
}

/// Values separated by commas.
struct List<Element: ExpressibleByArgument & Sendable>: ExpressibleByArgument, Sendable {
  let values: [Element]

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    let values = parts.compactMap { Element(argument: String($0)) }
    guard !values.isEmpty, values.count == parts.count else { return nil }
    self.values = values
  }

  static var allValueStrings: [String] { Element.allValueStrings }
}

extension List<Int> {
  /// Reads sizes.
  @Sendable static func sizes(_ text: String) throws -> List<Int> {
    guard let list = List(argument: text), list.values.allSatisfy({ $0 >= 0 }) else {
      throw ValidationError("expected whole numbers from 0 on, with commas between them.")
    }
    return list
  }
}

/// `left,right`, either of them `none`.
struct Window: Sendable, CustomStringConvertible {
  let left: Int?
  let right: Int?

  @Sendable static func parse(_ text: String) throws -> Window {
    let sides = text.split(separator: ",", omittingEmptySubsequences: false)
    guard sides.count == 2, sides.allSatisfy({ $0 == "none" || Int($0) ?? -1 >= 0 }) else {
      throw ValidationError("expected two whole numbers from 0 on with a comma between them, either of them 'none'.")
    }
    return Window(left: Int(sides[0]), right: Int(sides[1]))
  }

  var description: String { [left, right].map { $0.map(String.init) ?? "none" }.joined(separator: ",") }
  var values: [Int?] { [left, right] }
}
