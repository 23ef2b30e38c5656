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
}
