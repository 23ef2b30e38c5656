/// How a mask tensor broadcasts to `[B, Hq, Lq, Lk]`: its strides in elements, 0 along a dimension that it repeats over.
package struct MaskLayout: Sendable, Equatable {
  package let elementType: ElementType
  package let batchStride: Int
  package let headStride: Int
  package let queryStride: Int
  package let keyStride: Int

  /// Where the element for query 0 and key 0 stands.
  package func offset(batch: Int, head: Int) -> Int { batch * batchStride + head * headStride }

  /// Elements that some rows of one plane, `[Lq, Lk]` of a head, take: a row that is repeated is there once.
  package func planeElements(rows: Int, keys: Int) -> Int {
    queryStride > 0 ? rows * queryStride : keyStride > 0 ? keys : 1
  }

  /// Tiles of one plane: those of one row where all rows are the same.
  func tileCount(rows: Int, keys: Int, _ tiles: KernelTiles) -> Int {
    let rowTiles = queryStride > 0 ? rows.tiles(of: tiles.tileRows) : 1
    return rowTiles * keys.tiles(of: tiles.tileKeys)
  }

  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` for a type that is no mask or a shape that does not
  ///   broadcast to `target`.
  package init(shape: [Int], elementType: ElementType, broadcastTo target: [Int]) throws {
    guard elementType == .bool || elementType.isAttentionStorage else {
      throw AttentionError.invalid(
        argument: "mask", found: elementType.rawValue, expected: "BOOL, F32, F16 or BF16")
    }
    try self.init(named: "mask", shape: shape, elementType: elementType, broadcastTo: target, form: "[B, Hq, Lq, Lk]")
  }

  /// A mask of some name, whose type has been checked, over what `form` says.
  init(
    named name: String, shape: [Int], elementType: ElementType, broadcastTo target: [Int], form: String
  ) throws {
    let padded = Array(repeating: 1, count: max(0, target.count - shape.count)) + shape
    guard shape.count <= target.count, zip(padded, target).allSatisfy({ $0 == $1 || $0 == 1 }) else {
      throw AttentionError.invalid(
        argument: name, found: "shape \(shape)", expected: "a shape that broadcasts to \(form) = \(target)")
    }
    var strides = [0, 0, 0, 0]
    var stride = 1
    for dimension in padded.indices.reversed() {
      strides[dimension] = padded[dimension] == 1 ? 0 : stride
      stride *= padded[dimension]
    }
    self.elementType = elementType
    (batchStride, headStride, queryStride, keyStride) = (strides[0], strides[1], strides[2], strides[3])
  }
}
