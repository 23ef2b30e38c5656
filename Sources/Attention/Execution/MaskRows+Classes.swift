import OpenCL

extension MaskRows {
  /// The bytes of the classes of a plan's largest slice, a tile each.
  static func classCount(_ problem: AttentionProblem, _ plan: DevicePlan) -> Int {
    guard let mask = problem.mask else { return 0 }
    let largest = plan.blocks.map { block in
      let planes = Set(block.heads.map { mask.offset(batch: $0 / problem.queryHeads, head: $0 % problem.queryHeads) })
      return planes.count * mask.tileCount(rows: block.sliceRows, keys: problem.keyLength, plan.tiles)
    }
    return largest.max() ?? 0
  }
}

extension BlockContents {
  /// Starts the classification of the tiles of a slice's mask (Kernels/mask_classes.cl).
  func enqueueMaskClasses(
    _ kernel: Kernel, items: Int, slice: Range<Int>, mask: Buffer, classes: Buffer, tiles: KernelTiles
  ) throws {
    guard let layout = problem.mask, problem.keyLength > 0, !slice.isEmpty else { return }
    let repeated = layout.queryStride == 0
    let keyTiles = problem.keyLength.tiles(of: tiles.tileKeys)
    let rowTiles = layout.tileCount(rows: block.sliceRows, keys: problem.keyLength, tiles) / keyTiles
    var arguments = ArgumentList(kernel)
    try arguments.add(mask, classes)
    try arguments.add(layout)
    try arguments.add(Int64(layout.planeElements(rows: block.sliceRows, keys: problem.keyLength)))
    try arguments.add(Int32(repeated ? 1 : slice.count), Int32(problem.keyLength), Int32(rowTiles), Int32(keyTiles))
    try queues.compute.enqueue(kernel, groups: [maskPlanes.count, rowTiles, keyTiles], items: items)
  }
}

extension AttentionProblem {
  /// The key lengths of the distinct key/value heads of a range of heads.
  func keyLengths(of heads: Range<Int>) -> [Int] {
    guard !heads.isEmpty else { return [] }
    return (heads.lowerBound / groupSize...(heads.upperBound - 1) / groupSize).map {
      sequences[$0 / keyValueHeads].keyLength
    }
  }
}
