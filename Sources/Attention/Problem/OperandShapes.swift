/// The dimensions that the operands' shapes agree on.
struct OperandShapes {
  var batch: Int
  var queryHeads: Int
  var keyValueHeads: Int
  /// `Lq`, or `ΣLq` where sequences are packed.
  var queryRows: Int
  /// `Lk` with past keys, or the keys a sequence's blocks can hold, or `ΣLk`.
  var keyRows: Int
  /// Keys in the call's own tensor.
  var ownKeyRows: Int
  var pastLength = 0
  /// Bytes of the tensors that hold the call's own keys and values.
  var keyBytes: Int
  var valueBytes: Int
  var headDimension: Int
  var valueDimension: Int
  var query: RowLayout
  var key: RowLayout
  var value: RowLayout
  var paged: (blocks: Int, blockSize: Int, blocksPerSequence: Int)?

  private static let largestBatch = 1 << 20

  /// The shapes of a plain problem in layout `bhsd`.
  init(
    batch: Int, queryHeads: Int, keyValueHeads: Int, queryRows: Int, keyRows: Int, headDimension: Int,
    valueDimension: Int, elementType: ElementType
  ) throws {
    self.batch = batch
    self.queryHeads = queryHeads
    self.keyValueHeads = keyValueHeads
    self.queryRows = queryRows
    self.keyRows = keyRows
    ownKeyRows = keyRows
    self.headDimension = headDimension
    self.valueDimension = valueDimension
    keyBytes = try Tensor.byteCount(shape: [batch, keyValueHeads, keyRows, headDimension], elementType: elementType)
    valueBytes = try Tensor.byteCount(shape: [batch, keyValueHeads, keyRows, valueDimension], elementType: elementType)
    for shape in [[batch, queryHeads, queryRows, headDimension], [batch, queryHeads, queryRows, valueDimension]] {
      _ = try Tensor.byteCount(shape: shape, elementType: elementType)
    }
    query = RowLayout(.bhsd, heads: queryHeads, rows: queryRows, width: headDimension)
    key = RowLayout(.bhsd, heads: keyValueHeads, rows: keyRows, width: headDimension)
    value = RowLayout(.bhsd, heads: keyValueHeads, rows: keyRows, width: valueDimension)
    try checkDimensions(elementType)
  }

  init(_ call: AttentionCall) throws {
    switch call.operands {
    case .packed(let qkv):
      guard call.blockTable == nil else {
        throw AttentionError.invalid(argument: "block_table", found: "qkv beside it", expected: "query, key and value")
      }
      guard call.layout == .bshd else {
        throw AttentionError.invalid(argument: "layout", found: call.layout.rawValue, expected: "bshd, for qkv")
      }
      let shape = try Self.dimensions(of: qkv, named: "qkv", count: 5, form: "[B, L, 3, H, D]")
      guard shape[2] == 3 else {
        throw AttentionError.invalid(argument: "qkv", found: "shape \(shape)", expected: "[B, L, 3, H, D]")
      }
      let (rows, heads, width) = (shape[1], shape[3], shape[4])
      try self.init(
        batch: shape[0], queryHeads: heads, keyValueHeads: heads, queryRows: rows, keyRows: rows, headDimension: width,
        valueDimension: width, elementType: qkv.elementType)
      for (part, operand) in [\Self.query, \Self.key, \Self.value].enumerated() {
        self[keyPath: operand] = RowLayout(
          base: part * heads * width, batchStride: rows * 3 * heads * width, headStride: width,
          rowStride: 3 * heads * width)
      }
    case .separate(let query, let key, let value):
      try self.init(call, query: query, key: key, value: value)
    }
    (keyBytes, valueBytes) = (call.key.byteCount, call.value.byteCount)
    try addPast(of: call)
  }

  private init(_ call: AttentionCall, query: Tensor, key: Tensor, value: Tensor) throws {
    for (name, tensor) in [("key", key), ("value", value)] where tensor.elementType != query.elementType {
      throw AttentionError.invalid(
        argument: name, found: tensor.elementType.rawValue, expected: "the query's type, \(query.elementType.rawValue)")
    }
    let form = call.layout.form
    let queryShape = try Self.dimensions(of: query, named: "query", count: form.count, form: form.text("Lq", "Hq", "D"))
    let (queryHeads, queryRows) = (queryShape[form.heads], queryShape[form.rows])
    let width = queryShape[form.count - 1]
    let batch = form.batch.map { queryShape[$0] } ?? max(0, (call.cumulativeQueryLengths?.count ?? 1) - 1)

    if let table = call.blockTable {
      try self.init(
        pagedBy: table, batch: batch, queryHeads: queryHeads, queryRows: queryRows, headDimension: width, key: key,
        value: value)
      self.query = RowLayout(call.layout, heads: queryHeads, rows: queryRows, width: width)
      return
    }
    let keyShape = try Self.dimensions(of: key, named: "key", count: form.count, form: form.text("Lk", "Hkv", "D"))
    let (heads, keyRows) = (keyShape[form.heads], keyShape[form.rows])
    let valueShape = try Self.dimensions(
      of: value, named: "value", count: form.count, form: form.text("Lk", "Hkv", "Dv"))
    var expectedKey = keyShape
    expectedKey[form.count - 1] = width
    if let dimension = form.batch { expectedKey[dimension] = batch }
    try Self.expect(keyShape, expectedKey, named: "key", form: form.text("Lk", "Hkv", "D"))
    try Self.expect(
      valueShape, expectedKey.dropLast() + [valueShape[form.count - 1]], named: "value",
      form: form.text("Lk", "Hkv", "Dv"))
    try self.init(
      batch: batch, queryHeads: queryHeads, keyValueHeads: heads, queryRows: queryRows, keyRows: keyRows,
      headDimension: width, valueDimension: valueShape[form.count - 1], elementType: query.elementType)
    self.query = RowLayout(call.layout, heads: queryHeads, rows: queryRows, width: width)
    self.key = RowLayout(call.layout, heads: heads, rows: keyRows, width: width)
    self.value = RowLayout(call.layout, heads: heads, rows: keyRows, width: valueDimension)
  }

  /// Key and value are pools of blocks, `[blocks, blockSize, Hkv, ·]`: a block takes the place of a batch entry.
  private init(
    pagedBy table: Tensor, batch: Int, queryHeads: Int, queryRows: Int, headDimension: Int, key: Tensor, value: Tensor
  ) throws {
    let keyShape = try Self.dimensions(of: key, named: "key", count: 4, form: "[blocks, blockSize, Hkv, D]")
    let valueShape = try Self.dimensions(of: value, named: "value", count: 4, form: "[blocks, blockSize, Hkv, Dv]")
    try Self.expect(keyShape, keyShape.dropLast() + [headDimension], named: "key", form: "[blocks, blockSize, Hkv, D]")
    try Self.expect(
      valueShape, keyShape.dropLast() + [valueShape[3]], named: "value", form: "[blocks, blockSize, Hkv, Dv]")
    guard table.elementType == .int32, table.shape.count == 2, table.shape[0] == batch else {
      throw AttentionError.invalid(
        argument: "block_table", found: "\(table.elementType.rawValue) \(table.shape)",
        expected: "I32 [B, blocks per sequence] with B = \(batch)")
    }
    let (blockSize, heads) = (keyShape[1], keyShape[2])
    guard blockSize > 0 else {
      throw AttentionError.invalid(argument: "key", found: "shape \(keyShape)", expected: "a block size above 0")
    }
    let capacity = try Tensor.byteCount(shape: [table.shape[1], blockSize], elementType: .bool)
    try self.init(
      batch: batch, queryHeads: queryHeads, keyValueHeads: heads, queryRows: queryRows, keyRows: capacity,
      headDimension: headDimension, valueDimension: valueShape[3], elementType: key.elementType)
    self.key = RowLayout(.bshd, heads: heads, rows: blockSize, width: headDimension)
    self.value = RowLayout(.bshd, heads: heads, rows: blockSize, width: valueDimension)
    paged = (keyShape[0], blockSize, table.shape[1])
  }

  private mutating func addPast(of call: AttentionCall) throws {
    guard let past = call.past else { return }
    guard call.layout != .thd, call.blockTable == nil else {
      throw AttentionError.invalid(
        argument: "past_key", found: call.blockTable == nil ? "layout thd" : "a block table",
        expected: "layout bhsd or bshd without a block table")
    }
    let keyForm = "[B, Hkv, Lpast, D]"
    let shape = try Self.dimensions(of: past.key, named: "past_key", count: 4, form: keyForm)
    try Self.expect(shape, [batch, keyValueHeads, shape[2], headDimension], named: "past_key", form: keyForm)
    try Self.expect(
      past.value.shape, [batch, keyValueHeads, shape[2], valueDimension], named: "past_value",
      form: "[B, Hkv, Lpast, Dv]")
    for (name, tensor) in [("past_key", past.key), ("past_value", past.value)]
    where tensor.elementType != call.query.elementType {
      throw AttentionError.invalid(
        argument: name, found: tensor.elementType.rawValue,
        expected: "the query's type, \(call.query.elementType.rawValue)")
    }
    pastLength = shape[2]
    keyRows += pastLength
    try checkDimensions(call.query.elementType)
  }

  private func checkDimensions(_ elementType: ElementType) throws {
    guard elementType.isAttentionStorage else {
      throw AttentionError.invalid(argument: "query", found: elementType.rawValue, expected: "F32, F16 or BF16")
    }
    guard headDimension > 0, valueDimension > 0 else {
      throw AttentionError.invalid(
        argument: "head dimension", found: "D = \(headDimension), Dv = \(valueDimension)", expected: "1 or more")
    }
    guard queryHeads > 0, keyValueHeads > 0, queryHeads % keyValueHeads == 0 else {
      throw AttentionError.invalid(
        argument: "key", found: "\(keyValueHeads) key/value heads",
        expected: "a number that divides the \(queryHeads) query heads")
    }
    let longest = max(queryRows, keyRows, headDimension, valueDimension, queryHeads)
    guard longest < AttentionSequence.unlimited else {
      throw AttentionError.invalid(
        argument: "shape", found: "\(longest)", expected: "lengths and dimensions below 2^30")
    }
    // Each batch entry is described by itself, so that empty tensors of absurd shapes would take memory too.
    guard batch <= Self.largestBatch, batch * queryHeads < AttentionSequence.unlimited else {
      throw AttentionError.invalid(
        argument: "query", found: "batch \(batch) of \(queryHeads) heads",
        expected: "a batch of at most \(Self.largestBatch), batch × heads below 2^30")
    }
  }

  private static func dimensions(of tensor: Tensor, named name: String, count: Int, form: String) throws -> [Int] {
    guard tensor.shape.count == count else {
      throw AttentionError.invalid(argument: name, found: "shape \(tensor.shape)", expected: form)
    }
    return tensor.shape
  }

  private static func expect(_ found: [Int], _ expected: [Int], named name: String, form: String) throws {
    guard found == expected else {
      throw AttentionError.invalid(argument: name, found: "shape \(found)", expected: "\(form) = \(expected)")
    }
  }
}

extension TensorLayout {
  /// Which dimension is which.
  fileprivate var form: Form {
    switch self {
    case .bhsd: Form(count: 4, batch: 0, heads: 1, rows: 2)
    case .bshd: Form(count: 4, batch: 0, heads: 2, rows: 1)
    case .thd: Form(count: 3, batch: nil, heads: 1, rows: 0)
    }
  }

  fileprivate struct Form {
    let count: Int
    let batch: Int?
    let heads: Int
    let rows: Int

    func text(_ length: String, _ head: String, _ width: String) -> String {
      guard batch != nil else { return "[Σ\(length), \(head), \(width)]" }
      return heads < rows ? "[B, \(head), \(length), \(width)]" : "[B, \(length), \(head), \(width)]"
    }
  }
}
