/// One head of a block as the kernels see it: the mirror of `Head` in Kernels/common.cl, field by field.
struct HeadRecord: BitwiseCopyable {
  var query: Int64 = 0
  var key: Int64 = 0
  var value: Int64 = 0
  var output: Int64 = 0
  var score: Int64 = 0
  var mask: Int64 = 0
  var maskTiles: Int64 = 0
  var keyTiles: Int64 = 0
  var blockMask: Int64 = 0
  var logSumExp: Int64 = 0
  var queryLength: Int32 = 0
  var keyLength: Int32 = 0
  var firstShift: Int32 = 0
  var endShift: Int32 = 0
  var offset: Int32 = 0
  var slope: Float = 0
  var sink: Float = 0
  var rotary: Int32 = 0

  /// A head of a problem, whose rows and masks are still to be placed.
  ///
  /// - Parameters:
  ///   - alibiSlopes: `[Hq]`.
  ///   - sinks: `[Hq]`.
  init(_ problem: AttentionProblem, batch b: Int, head h: Int, alibiSlopes: [Float]?, sinks: [Float]?) {
    let sequence = problem.sequences[b]
    queryLength = Int32(sequence.queryLength)
    keyLength = Int32(sequence.keyLength)
    firstShift = Int32(sequence.firstShift)
    endShift = Int32(sequence.endShift)
    offset = Int32(sequence.offset)
    slope = alibiSlopes?[h] ?? 0
    sink = sinks?[h] ?? 0
  }

  /// Places a slice's rows of the mask that the head sees, and the classes of their tiles.
  ///
  /// - Parameter planes: Those of the block's heads.
  mutating func place(
    _ mask: MaskLayout, batch b: Int, head h: Int, in planes: inout DistinctPlanes, rows: Int, keys: Int,
    _ tiles: KernelTiles
  ) {
    let plane = planes.place(of: mask.offset(batch: b, head: h))
    self.mask = Int64(plane * mask.planeElements(rows: rows, keys: keys))
    maskTiles = Int64(plane * mask.tileCount(rows: rows, keys: keys, tiles))
  }
}
