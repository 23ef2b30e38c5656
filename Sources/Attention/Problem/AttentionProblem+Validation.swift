extension AttentionProblem {
  /// Describes a call, after checking that everything in it fits together.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)``, naming the operand as case files do
  ///   (`key`, `alibi_slopes`, …).
  public init(_ call: AttentionCall) throws {
    let shapes = try OperandShapes(call)
    let sequences = try Self.sequences(of: call, shapes: shapes)
    let paging = try Self.paging(of: call, shapes: shapes, sequences: sequences)
    let lengths = Self.lengths(of: call, shapes: shapes, sequences: sequences)
    try self.init(
      shapes, sequences, Self.options(of: call), queryLength: lengths.query, keyLength: lengths.key, paging: paging)
  }

  /// A description of a plain problem of equal lengths in layout `bhsd`, for plans and benchmarks without data.
  public init(
    batch: Int, queryHeads: Int, keyValueHeads: Int, queryLength: Int, keyLength: Int, headDimension: Int,
    valueDimension: Int, elementType: ElementType, mask: AttentionMask = .none, outputs: AttentionOutputs = .output,
    topKeyCount: Int = 8
  ) throws {
    let shapes = try OperandShapes(
      batch: batch, queryHeads: queryHeads, keyValueHeads: keyValueHeads, queryRows: queryLength, keyRows: keyLength,
      headDimension: headDimension, valueDimension: valueDimension, elementType: elementType)
    try Self.check(mask)
    let sequences = (0..<batch).map { _ in
      AttentionSequence(queryLength: queryLength, keyLength: keyLength, mask: mask)
    }
    try self.init(
      shapes, sequences, Options(elementType: elementType, mask: mask, outputs: outputs, topKeyCount: topKeyCount),
      queryLength: queryLength,
      keyLength: keyLength)
  }

  /// A description of queries to the keys of a cache, once it holds so many more tokens of each sequence.
  init(
    query shape: [Int], elementType: ElementType, cache: KVCache, _ options: CacheAttentionOptions, appending: Int = 0
  ) throws {
    let form = options.layout == .bhsd ? "[B, Hq, Lq, D]" : "[B, Lq, Hq, D]"
    guard options.layout != .thd else {
      throw AttentionError.invalid(argument: "layout", found: "thd", expected: "bhsd or bshd")
    }
    guard shape.count == 4, shape[0] == cache.batch, shape[3] == cache.headDimension else {
      throw AttentionError.invalid(
        argument: "query", found: "shape \(shape)",
        expected: "\(form) with B = \(cache.batch), D = \(cache.headDimension)")
    }
    let (heads, rows) = options.layout == .bhsd ? (shape[1], shape[2]) : (shape[2], shape[1])
    let lengths = cache.lengths.map { $0 + appending }
    var shapes = try OperandShapes(
      batch: cache.batch, queryHeads: heads, keyValueHeads: cache.heads, queryRows: rows, keyRows: lengths.max() ?? 0,
      headDimension: cache.headDimension, valueDimension: cache.valueDimension, elementType: elementType)
    shapes.query = RowLayout(options.layout, heads: heads, rows: rows, width: cache.headDimension)
    try Self.check(options.mask)
    let sequences = lengths.map {
      AttentionSequence(queryLength: rows, keyLength: $0, mask: options.mask)
    }
    try self.init(
      shapes, sequences,
      Options(
        elementType: elementType, layout: options.layout, mask: options.mask, outputs: [.output, .logSumExp],
        topKeyCount: 8, scale: options.scale, softcap: options.softcap, alibiSlopes: options.alibiSlopes,
        sinks: options.sinks), queryLength: rows, keyLength: shapes.keyRows)
  }

  /// What a call says beside its operands' shapes and lengths.
  private struct Options {
    let elementType: ElementType
    var layout = TensorLayout.bhsd
    let mask: AttentionMask
    let outputs: AttentionOutputs
    let topKeyCount: Int
    var scale: Float?
    var softcap: Float?
    var alibiSlopes: [Float]?
    var sinks: [Float]?
  }

  private static func options(of call: AttentionCall) -> Options {
    Options(
      elementType: call.query.elementType, layout: call.layout, mask: call.mask, outputs: call.returning,
      topKeyCount: call.topKeyCount,
      scale: call.scale, softcap: call.softcap, alibiSlopes: call.alibiSlopes, sinks: call.sinks)
  }

  /// The one place that sets the fields, from shapes and sequences that have been checked.
  private init(
    _ shapes: OperandShapes, _ sequences: [AttentionSequence], _ options: Options, queryLength: Int, keyLength: Int,
    paging: OperandLayout.Paging? = nil
  ) throws {
    batch = shapes.batch
    queryHeads = shapes.queryHeads
    keyValueHeads = shapes.keyValueHeads
    headDimension = shapes.headDimension
    valueDimension = shapes.valueDimension
    elementType = options.elementType
    layout = options.layout
    scale = try Self.checked(scale: options.scale, headDimension: shapes.headDimension)
    softcap = try Self.checked(softcap: options.softcap)
    outputs = options.outputs
    topKeyCount = try Self.checked(topKeyCount: options.topKeyCount)
    self.sequences = sequences
    self.queryLength = queryLength
    self.keyLength = keyLength
    usesALiBi = try Self.checked(perHead: options.alibiSlopes, named: "alibi_slopes", heads: shapes.queryHeads)
    usesSinks = try Self.checked(perHead: options.sinks, named: "sinks", heads: shapes.queryHeads)

    let target = [shapes.batch, shapes.queryHeads, queryLength, keyLength]
    mask = try options.mask.tensor.map {
      try MaskLayout(shape: $0.shape, elementType: $0.elementType, broadcastTo: target)
    }
    blockMask = try options.mask.blocks.map { try BlockMaskLayout($0, over: target) }
    switch options.layout {
    case .bhsd: outputShape = [shapes.batch, shapes.queryHeads, shapes.queryRows, shapes.valueDimension]
    case .bshd: outputShape = [shapes.batch, shapes.queryRows, shapes.queryHeads, shapes.valueDimension]
    case .thd: outputShape = [shapes.queryRows, shapes.queryHeads, shapes.valueDimension]
    }
    func pastRows(_ width: Int) -> RowLayout? {
      guard shapes.pastLength > 0 else { return nil }
      return RowLayout(.bhsd, heads: shapes.keyValueHeads, rows: shapes.pastLength, width: width)
    }
    operands = OperandLayout(
      query: shapes.query, key: shapes.key, value: shapes.value,
      output: RowLayout(
        options.layout, heads: shapes.queryHeads, rows: shapes.queryRows, width: shapes.valueDimension),
      pastLength: shapes.pastLength, pastKey: pastRows(shapes.headDimension),
      pastValue: pastRows(shapes.valueDimension), paging: paging, keyBytes: shapes.keyBytes,
      valueBytes: shapes.valueBytes)
    // Every later size is a product of these: none may overflow.
    for outputs in [target + [8], topKeyShape + [8], outputShape + [8]] {
      _ = try Tensor.byteCount(shape: outputs, elementType: .float64)
    }
  }

  private static func checked(scale: Float?, headDimension: Int) throws -> Float {
    let value = scale ?? 1 / Float(headDimension).squareRoot()
    guard value.isFinite else {
      throw AttentionError.invalid(argument: "scale", found: "\(value)", expected: "a finite number")
    }
    return value
  }

  private static func checked(softcap: Float?) throws -> Float? {
    guard let softcap else { return nil }
    guard softcap.isFinite, softcap > 0 else {
      throw AttentionError.invalid(argument: "softcap", found: "\(softcap)", expected: "a finite number above 0")
    }
    return softcap
  }

  private static func checked(topKeyCount: Int) throws -> Int {
    let counts = AttentionCall.topKeyCounts
    guard counts.contains(topKeyCount) else {
      throw AttentionError.invalid(
        argument: "top_k", found: "\(topKeyCount)", expected: "\(counts.lowerBound) to \(counts.upperBound)")
    }
    return topKeyCount
  }

  private static func checked(perHead values: [Float]?, named name: String, heads: Int) throws -> Bool {
    guard let values else { return false }
    guard values.count == heads else {
      throw AttentionError.invalid(argument: name, found: "[\(values.count)]", expected: "[Hq] = [\(heads)]")
    }
    return true
  }

  private static func check(_ mask: AttentionMask) throws {
    for (name, width) in [("window left", mask.windowLeft), ("window right", mask.windowRight)] {
      guard width ?? 0 >= 0 else {
        throw AttentionError.invalid(
          argument: name, found: "\(width ?? 0)", expected: "0 or more, or none for no limit")
      }
    }
    if let offset = mask.queryOffset, abs(offset.clamped) >= AttentionSequence.unlimited {
      throw AttentionError.invalid(argument: "query_offset", found: "\(offset)", expected: "a magnitude below 2^30")
    }
  }

  /// `Lq` and `Lk` of the tensors or of the longest sequence.
  private static func lengths(
    of call: AttentionCall, shapes: OperandShapes, sequences: [AttentionSequence]
  ) -> (query: Int, key: Int) {
    guard call.layout == .thd else { return (shapes.queryRows, shapes.keyRows) }
    let queries = sequences.map(\.queryLength).max() ?? shapes.queryRows
    // The longest as it is packed: a key length hides keys, it does not change shapes.
    guard call.blockTable == nil, let ends = call.cumulativeKeyLengths else { return (queries, shapes.keyRows) }
    return (queries, zip(ends.dropFirst(), ends).map(-).max() ?? 0)
  }

  /// The lengths and positions of each batch entry.
  private static func sequences(of call: AttentionCall, shapes: OperandShapes) throws -> [AttentionSequence] {
    try check(call.mask)
    let queries = try bounds(
      call.cumulativeQueryLengths, named: "cumulative_query_lengths", layout: call.layout, batch: shapes.batch,
      rows: shapes.queryRows)
    let paged = call.blockTable != nil
    var keys: [Range<Int>]?
    if paged, let cumulative = call.cumulativeKeyLengths {
      keys = try bounds(
        cumulative, named: "cumulative_key_lengths", layout: call.layout, batch: shapes.batch, rows: nil)
    } else if !paged {
      keys = try bounds(
        call.cumulativeKeyLengths, named: "cumulative_key_lengths", layout: call.layout, batch: shapes.batch,
        rows: shapes.ownKeyRows)
    }
    if let lengths = call.keyLengths, lengths.count != shapes.batch {
      throw AttentionError.invalid(
        argument: "key_lengths", found: "[\(lengths.count)]", expected: "[B] = [\(shapes.batch)]")
    }
    return try (0..<shapes.batch).map { b in
      let capacity = call.layout == .thd ? keys?[b].count ?? shapes.keyRows : shapes.keyRows
      let length = call.keyLengths?[b] ?? capacity
      guard (0...min(capacity, shapes.keyRows)).contains(length) else {
        throw AttentionError.invalid(
          argument: "key_lengths[\(b)]", found: "\(length)", expected: "0 to \(min(capacity, shapes.keyRows))")
      }
      return AttentionSequence(
        queryLength: queries?[b].count ?? shapes.queryRows, keyLength: length,
        queryStart: queries?[b].lowerBound ?? 0, keyStart: paged ? 0 : keys?[b].lowerBound ?? 0, mask: call.mask)
    }
  }

  /// The rows of each packed sequence; nil where the layout is not packed.
  private static func bounds(
    _ cumulative: [Int]?, named name: String, layout: TensorLayout, batch: Int, rows: Int?
  ) throws -> [Range<Int>]? {
    guard layout == .thd else {
      guard cumulative == nil else {
        throw AttentionError.invalid(argument: name, found: "layout \(layout.rawValue)", expected: "layout thd")
      }
      return nil
    }
    guard let cumulative else {
      throw AttentionError.invalid(argument: name, found: "none", expected: "[B + 1] offsets, for layout thd")
    }
    guard cumulative.count == batch + 1 else {
      throw AttentionError.invalid(
        argument: name, found: "[\(cumulative.count)]", expected: "[B + 1] = [\(batch + 1)]")
    }
    guard cumulative.first == 0, zip(cumulative, cumulative.dropFirst()).allSatisfy({ $0 <= $1 }),
      rows == nil || cumulative.last == rows
    else {
      throw AttentionError.invalid(
        argument: name, found: "\(cumulative)",
        expected: "offsets that start at 0, never fall" + (rows.map { " and end at \($0) rows" } ?? ""))
    }
    return zip(cumulative, cumulative.dropFirst()).map { $0..<$1 }
  }

  /// The block table, checked as far as the lengths reach: entries past them may be anything.
  private static func paging(
    of call: AttentionCall, shapes: OperandShapes, sequences: [AttentionSequence]
  ) throws -> OperandLayout.Paging? {
    guard let tensor = call.blockTable, let paged = shapes.paged else { return nil }
    let table = try tensor.integers()
    for (b, sequence) in sequences.enumerated() {
      for entry in 0..<sequence.keyLength.tiles(of: paged.blockSize) {
        let block = table[b * paged.blocksPerSequence + entry]
        guard (0..<paged.blocks).contains(block) else {
          throw AttentionError.invalid(
            argument: "block_table[\(b), \(entry)]", found: "\(block)", expected: "0 to \(paged.blocks - 1)")
        }
      }
    }
    return OperandLayout.Paging(
      blockSize: paged.blockSize, blocksPerSequence: paged.blocksPerSequence, table: table)
  }
}

extension Int {
  /// Itself, but for the one value that has no magnitude.
  fileprivate var clamped: Int { Swift.max(self, -Int.max) }
}
