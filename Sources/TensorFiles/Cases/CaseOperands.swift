import Attention

/// The operands of a case file.
struct CaseOperands {
  /// The tensors that a case file may have, `expected.…` aside.
  enum Name: String, CaseIterable {
    case query, key, value, qkv, mask, sinks
    case alibiSlopes = "alibi_slopes"
    case keyLengths = "key_lengths"
    case cumulativeQueryLengths = "cumulative_query_lengths"
    case cumulativeKeyLengths = "cumulative_key_lengths"
    case blockTable = "block_table"
    case blockMask = "block_mask"
    case pastKey = "past_key"
    case pastValue = "past_value"
  }

  let file: Safetensors

  /// The call that the operands and options make. Each operand's own type and rank are checked here where the call's
  /// types could not carry a wrong one; shapes are checked against one another by ``AttentionProblem``.
  func call(_ options: CaseOptions) throws -> AttentionCall {
    var call = try operands(layout: options.layout)
    call.scale = options.scale
    call.softcap = options.softcap
    call.mask = options.mask
    call.returning = options.outputs
    call.mask.tensor = try tensor(.mask)
    call.mask.blocks = try blockMask(options.blockSize)
    call.alibiSlopes = try perHead(.alibiSlopes)
    call.sinks = try perHead(.sinks)
    call.keyLengths = try lengths(.keyLengths)
    call.cumulativeQueryLengths = try lengths(.cumulativeQueryLengths)
    call.cumulativeKeyLengths = try lengths(.cumulativeKeyLengths)
    call.blockTable = try tensor(.blockTable)
    if file[Name.pastKey.rawValue] != nil || file[Name.pastValue.rawValue] != nil {
      call.past = (try required(.pastKey), try required(.pastValue))
    }
    return call
  }

  private func operands(layout: TensorLayout?) throws -> AttentionCall {
    guard let packed = try tensor(.qkv) else {
      return AttentionCall(
        query: try required(.query), key: try required(.key), value: try required(.value), layout: layout ?? .bhsd)
    }
    // A block table says where keys and values of their own tensors stand.
    for name in [Name.query, .key, .value, .blockTable] where file[name.rawValue] != nil {
      throw error(name, found: "a tensor beside qkv", expected: "qkv alone, or query, key and value")
    }
    guard layout ?? .bshd == .bshd else {
      throw TensorFileError(
        file: file.path, part: .metadata("attention.layout"), found: "\"\(layout?.rawValue ?? "")\"",
        expected: "\"\(TensorLayout.bshd.rawValue)\", which qkv is in")
    }
    return AttentionCall(packed: packed)
  }

  /// The block mask, whose tensor and whose block sizes stand in different places: neither means anything alone.
  private func blockMask(_ size: CaseOptions.BlockSize?) throws -> BlockMask? {
    switch (size, try tensor(.blockMask)) {
    case (nil, nil): return nil
    case (let size?, let tensor?): return BlockMask(queryBlock: size.query, keyBlock: size.key, visible: tensor)
    case (_?, nil):
      throw error(.blockMask, found: "none", expected: "a tensor for attention.block_size")
    case (nil, _?):
      throw TensorFileError(
        file: file.path, part: .metadata("attention.block_size"), found: "none",
        expected: "\(CaseOptions.BlockSize.form), for the tensor \(Name.blockMask.rawValue)")
    }
  }

  private func tensor(_ name: Name) throws -> Tensor? {
    file[name.rawValue] == nil ? nil : try file.tensor(name.rawValue)
  }

  private func required(_ name: Name) throws -> Tensor { try file.tensor(name.rawValue) }

  /// `[Hq]`, F32.
  private func perHead(_ name: Name) throws -> [Float]? {
    try vector(name, of: [.float32])?.floats()
  }

  /// `[B]` or `[B + 1]`, I32 or I64.
  private func lengths(_ name: Name) throws -> [Int]? {
    try vector(name, of: [.int32, .int64])?.integers()
  }

  private func vector(_ name: Name, of types: [ElementType]) throws -> Tensor? {
    guard let entry = file[name.rawValue] else { return nil }
    guard let type = entry.elementType, types.contains(type), entry.shape.count == 1 else {
      throw error(
        name, found: "\(entry.typeName) \(entry.shape)",
        expected: types.map(\.rawValue).joined(separator: " or ") + " of one dimension")
    }
    return try tensor(name)
  }

  private func error(_ name: Name, found: String, expected: String) -> TensorFileError {
    TensorFileError(file: file.path, part: .tensor(name.rawValue), found: found, expected: expected)
  }
}
