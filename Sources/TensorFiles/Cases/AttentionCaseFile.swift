import Attention

/// One attention call in a safetensors file, with the results that are expected of it.
///
/// | tensor | shape | type |
/// |---|---|---|
/// | `query` | `[B, Hq, Lq, D]`, or as the layout says | F32, F16, BF16 |
/// | `key`, `value` | `[B, Hkv, Lk, ·]`, or as the layout says; `[blocks, blockSize, Hkv, ·]` with a block table | the query's |
/// | `qkv` | `[B, L, 3, H, D]`, in place of the three | F32, F16, BF16 |
/// | `mask` | broadcasts to `[B, Hq, Lq, Lk]` | BOOL, F32, F16, BF16 |
/// | `block_mask` | broadcasts to `[B, Hq, ceil(Lq / queryBlock), ceil(Lk / keyBlock)]` of the option `block_size` | BOOL |
/// | `alibi_slopes`, `sinks` | `[Hq]` | F32 |
/// | `key_lengths` | `[B]` | I32, I64 |
/// | `cumulative_query_lengths`, `cumulative_key_lengths` | `[B + 1]` | I32, I64 |
/// | `block_table` | `[B, blocks per sequence]` | I32 |
/// | `past_key`, `past_value` | `[B, Hkv, Lpast, ·]` | the query's |
/// | `expected.output`, `expected.log_sum_exp`, … | as the result | F64, F32 |
///
/// The metadata entry `attention` is a JSON object of options, `error` one of the errors that naive attention makes, and
/// `group` a name for cases of one kind. Other metadata is left alone.
public struct AttentionCaseFile: Sendable {
  /// The path that the file was read from.
  public let path: String

  /// The call, checked.
  public let call: AttentionCall

  /// What the call comes to.
  public let problem: AttentionProblem

  /// The results that are expected, by their names in files: `output`, `log_sum_exp`, …
  public let expected: [String: Tensor]

  /// The largest errors of naive attention against float64, by what it computed with: `lowp` (the storage type
  /// throughout), `f32math` (float32 on stored operands), …
  public let naiveErrors: [String: Double]

  /// The facts beside them: `lowp_finite`, …
  public let naiveFlags: [String: Bool]

  /// The kind of case.
  public let group: String?

  /// Reads a case.
  ///
  /// - Throws: ``TensorFileError`` for a file that is no safetensors file, an unknown tensor or key, a type or shape that
  ///   does not fit, an operand that is missing or given twice, and a case that asks for gradients.
  public init(path: String) throws {
    let file = try Safetensors(path: path)
    try Self.checkNames(in: file)
    let options = try CaseOptions(file)
    call = try CaseOperands(file: file).call(options)
    problem = try Self.problem(of: call, file: path)

    let prefix = Self.expectedPrefix
    expected = try Dictionary(
      uniqueKeysWithValues: file.entries.filter { $0.name.hasPrefix(prefix) }.map { entry in
        guard entry.elementType == .float64 || entry.elementType == .float32 else {
          throw TensorFileError(file: path, part: .tensor(entry.name), found: entry.typeName, expected: "F64 or F32")
        }
        return (String(entry.name.dropFirst(prefix.count)), try file.tensor(entry.name))
      })
    // Python writes the error of a computation that overflowed as NaN or Infinity.
    let errors = try MetadataObject("error", of: file, allowsNonFinite: true)
    var numbers: [String: Double] = [:]
    var flags: [String: Bool] = [:]
    for key in errors.keys {
      let value = try errors.read(key, expected: "a number or a boolean") {
        $0.asDouble != nil || $0.asBool != nil ? $0 : nil
      }
      numbers[key] = value?.asDouble
      flags[key] = value?.asBool
    }
    self.path = path
    naiveErrors = numbers
    naiveFlags = flags
    group = file.metadata["group"]
  }

  static let expectedPrefix = "expected."

  private static func checkNames(in file: Safetensors) throws {
    for entry in file.entries where !entry.name.hasPrefix(expectedPrefix) {
      // Gradients asked for and not computed would pass for an answer.
      guard entry.name != "output_gradient" else {
        throw TensorFileError(
          file: file.path, part: .tensor(entry.name), found: "a gradient", expected: CaseOutput.forwardOnly)
      }
      guard CaseOperands.Name(rawValue: entry.name) != nil else {
        throw TensorFileError(
          file: file.path, part: .tensor(entry.name), found: "an unknown name",
          expected: "one of \(CaseOperands.Name.allCases.map(\.rawValue).joined(separator: ", ")), \(expectedPrefix)…")
      }
    }
  }

  /// Checks the operands against one another, which the library does: its error gets the name of the file.
  private static func problem(of call: AttentionCall, file: String) throws -> AttentionProblem {
    do {
      return try AttentionProblem(call)
    } catch AttentionError.invalid(let argument, let found, let expected) {
      // The argument may have an index: "key_lengths[2]".
      let name = argument.prefix { $0 != "[" }
      let isTensor = CaseOperands.Name(rawValue: String(name)) != nil
      throw TensorFileError(
        file: file, part: isTensor ? .tensor(argument) : .argument(argument), found: found, expected: expected)
    }
  }
}
