import Attention

/// The shapes of a call, from which seeded operands are made.
package struct CallShape: Sendable, CustomStringConvertible {
  /// How the operands are given: in a layout, or as one tensor `[B, L, 3, H, D]`.
  package enum Form: String, Sendable, CaseIterable {
    case bhsd, bshd, thd, packed
  }

  package var type = ElementType.float32
  package var form = Form.bhsd
  package var batch = 1
  package var heads = 2
  package var keyHeads = 2
  package var queries = 33
  package var keys = 65
  package var headDimension = 32
  package var valueDimension: Int?

  package init(
    _ type: ElementType = .float32, form: Form = .bhsd, batch: Int = 1, heads: Int = 2, keyHeads: Int? = nil,
    queries: Int = 33, keys: Int = 65, D: Int = 32, Dv: Int? = nil
  ) {
    self.type = type
    self.form = form
    self.batch = batch
    self.heads = heads
    self.keyHeads = keyHeads ?? heads
    self.queries = queries
    self.keys = keys
    headDimension = D
    valueDimension = Dv
  }

  package var description: String {
    let heads = heads == keyHeads ? "\(heads)" : "\(heads)/\(keyHeads)"
    let width = valueDimension.map { "D \(headDimension) Dv \($0)" } ?? "D \(headDimension)"
    return "\(type.rawValue) \(form) B \(batch) H \(heads) \(queries)×\(keys) \(width)"
  }

  /// A call on numbers that are about normal. In `thd` every sequence has the same length; `packed` takes the queries'
  /// length and heads for all three.
  package func call(seed: UInt64 = 1, returning outputs: AttentionOutputs = .all) throws -> AttentionCall {
    var numbers = SeededNumbers(seed: seed)
    func tensor(_ heads: Int, _ rows: Int, _ width: Int) throws -> Tensor {
      switch form {
      case .bhsd: try numbers.tensor([batch, heads, rows, width], type)
      case .bshd: try numbers.tensor([batch, rows, heads, width], type)
      case .thd: try numbers.tensor([batch * rows, heads, width], type)
      case .packed: try numbers.tensor([batch, rows, 3, heads, width], type)
      }
    }
    guard form != .packed else {
      var call = AttentionCall(packed: try tensor(heads, queries, headDimension))
      call.returning = outputs
      return call
    }
    var call = AttentionCall(
      query: try tensor(heads, queries, headDimension), key: try tensor(keyHeads, keys, headDimension),
      value: try tensor(keyHeads, keys, valueDimension ?? headDimension),
      layout: TensorLayout(rawValue: form.rawValue) ?? .bhsd)
    if form == .thd {
      call.cumulativeQueryLengths = (0...batch).map { $0 * queries }
      call.cumulativeKeyLengths = (0...batch).map { $0 * keys }
    }
    call.returning = outputs
    return call
  }
}

extension AttentionOutputs {
  /// Every result.
  package static let all: AttentionOutputs = [.output, .logSumExp, .weights, .scores, .topKeys, .received]
}

extension ElementType {
  /// The types that queries, keys and values may have.
  package static let storageTypes = allCases.filter(\.isAttentionStorage)
}
