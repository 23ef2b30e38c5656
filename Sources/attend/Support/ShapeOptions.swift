import ArgumentParser
import Attention

/// The shape options of `bench`, `plan` and `tune`. Several comma-separated values make a grid.
struct ShapeOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Sequences at once.", valueName: "n"))
  var batch: List<Int>?

  @Option(help: ArgumentHelp("Query heads.", valueName: "n"))
  var heads: List<Int>?

  @Option(help: ArgumentHelp("Key/value heads, a divisor of the query heads. Default: as many.", valueName: "n"))
  var kvHeads: List<Int>?

  @Option(help: ArgumentHelp("Queries of a sequence.", valueName: "n"))
  var queryLength: List<Int>?

  @Option(help: ArgumentHelp("Keys of a sequence. Default: as many as queries.", valueName: "n"))
  var keyLength: List<Int>?

  @Option(help: ArgumentHelp("Dimension of queries and keys.", valueName: "n"))
  var headDimension: List<Int>?

  @Option(help: ArgumentHelp("Dimension of values. Default: that of the keys.", valueName: "n"))
  var valueDimension: List<Int>?

  @Option(help: ArgumentHelp("Element type: f32, f16 or bf16.", valueName: "type"))
  var dtype: List<StorageType>?

  @Flag(help: "Hide the keys after each query (aligned at the last).")
  var causal = false

  @Option(help: ArgumentHelp("Keys seen before and after each query; 'none' is no limit.", valueName: "left,right"))
  var window: Window?

  @Option(
    help: ArgumentHelp(
      "Keys of each sequence of one ragged batch, in place of --batch and --key-length.", valueName: "a,b,c"))
  var keyLengths: List<Int>?

  @Option(
    help: ArgumentHelp(
      "Attention over a key/value cache in this storage: f32, f16, bf16, q8_0 or q4_0.", valueName: "type"))
  var kvType: List<KVCacheStorage>?

  /// Whether no option names a shape.
  var isEmpty: Bool {
    [batch, heads, kvHeads, queryLength, keyLength, headDimension, valueDimension].allSatisfy { $0 == nil }
      && dtype == nil && !causal && window == nil && keyLengths == nil && kvType == nil
  }

  func validate() throws {
    if let lengths = keyLengths?.values {
      guard batch == nil, keyLength == nil else {
        throw ValidationError("--key-lengths: expected no --batch and --key-length beside it.")
      }
      guard lengths.allSatisfy({ (0..<1 << 30).contains($0) }) else {
        throw ValidationError("--key-lengths: expected lengths of 0 or more, found \(lengths).")
      }
    }
  }

  /// The shapes of the grid, the default one where no option names a shape.
  func shapes(defaultLengths: [Int] = [128, 512, 1024]) throws -> [Shape] {
    try grid(defaultLengths: defaultLengths).flatMap { shape in
      guard let kvType else { return [shape] }
      return kvType.values.map { storage in
        var shape = shape
        shape.kvType = storage
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
}

/// `left,right`, either of them `none`.
struct Window: ExpressibleByArgument, Sendable, CustomStringConvertible {
  let left: Int?
  let right: Int?

  init?(argument: String) {
    let sides = argument.split(separator: ",", omittingEmptySubsequences: false)
    guard sides.count == 2, sides.allSatisfy({ $0 == "none" || Int($0) != nil }) else { return nil }
    left = Int(sides[0])
    right = Int(sides[1])
  }

  var description: String { [left, right].map { $0.map(String.init) ?? "none" }.joined(separator: ",") }
  var values: [Int?] { [left, right] }
}
