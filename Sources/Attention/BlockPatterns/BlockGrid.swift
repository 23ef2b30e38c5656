/// A score matrix cut into blocks, for patterns that follow from positions alone.
public struct BlockGrid: Sendable, Equatable {
  /// Queries and keys of a block.
  public let queryBlock: Int
  public let keyBlock: Int

  /// Blocks of queries and of keys: the lengths over the sizes, rounded up.
  public let rows: Int
  public let columns: Int

  let queryLength: Int
  let keyLength: Int
  /// The position of query 0 among the keys.
  let offset: Int

  /// - Parameters:
  ///   - queryLength: `Lq`, of the longest sequence where sequences are packed.
  ///   - keyLength: `Lk`, past keys included.
  ///   - queryBlock: Queries of a block: 1 or more.
  ///   - keyBlock: Keys of a block: 1 or more.
  ///   - queryOffset: The position of query 0 among the keys; `nil` puts the last query at the last key.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a negative length, a block of nothing, and
  ///   numbers of 2^30 or more.
  public init(
    queryLength: Int, keyLength: Int, queryBlock: Int = 64, keyBlock: Int = 64, queryOffset: Int? = nil
  ) throws {
    let limit = AttentionSequence.unlimited
    try Self.check("length", [queryLength, keyLength], in: 0..<limit)
    try Self.check("block_size", [queryBlock, keyBlock], in: 1..<limit)
    offset = queryOffset ?? keyLength - queryLength
    try Self.check("query_offset", [offset], in: 1 - limit..<limit)
    self.queryLength = queryLength
    self.keyLength = keyLength
    self.queryBlock = queryBlock
    self.keyBlock = keyBlock
    rows = queryLength.tiles(of: queryBlock)
    columns = keyLength.tiles(of: keyBlock)
  }

  /// The positions of a row's queries among the keys; some may lie before key 0 or past the last key.
  func positions(row: Int) -> ClosedRange<Int> {
    offset + row * queryBlock...offset + min((row + 1) * queryBlock, queryLength) - 1
  }

  func keys(column: Int) -> ClosedRange<Int> {
    column * keyBlock...min((column + 1) * keyBlock, keyLength) - 1
  }

  /// The columns that hold some of these keys, whether they are there or not.
  func columns(of keys: ClosedRange<Int>) -> Range<Int> {
    let (first, last) = (max(0, keys.lowerBound), min(keys.upperBound, keyLength - 1))
    return first > last ? 0..<0 : first / keyBlock..<last / keyBlock + 1
  }

  /// The block mask `[rows, columns]` of the blocks for which `isVisible` holds.
  func mask(_ isVisible: (_ positions: ClosedRange<Int>, _ keys: ClosedRange<Int>) -> Bool) throws -> BlockMask {
    // Each row and column is there: neither range can be empty.
    let visible = try Tensor(shape: [rows, columns], elementType: .bool) { visible in
      for row in 0..<rows {
        for column in 0..<columns {
          visible[row * columns + column] = isVisible(positions(row: row), keys(column: column)) ? 1 : 0
        }
      }
    }
    return BlockMask(queryBlock: queryBlock, keyBlock: keyBlock, visible: visible)
  }

  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where a number is outside a range.
  static func check(_ argument: String, _ numbers: [Int], in range: Range<Int>) throws {
    for number in numbers where !range.contains(number) {
      throw AttentionError.invalid(
        argument: argument, found: "\(number)", expected: "\(range.lowerBound) to \(range.upperBound - 1)")
    }
  }
}
