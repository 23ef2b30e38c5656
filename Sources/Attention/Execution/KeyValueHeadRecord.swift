/// A key/value head of a block as the packing kernel sees it: the mirror of `KeyValueHead` in Kernels/cpu_tiles.cl.
struct KeyValueHeadRecord: BitwiseCopyable {
  var key: Int64 = 0
  var value: Int64 = 0
  var packedKey: Int64 = 0
  var packedValue: Int64 = 0
  var tiles: Int64 = 0
  var keyLength: Int32 = 0
  var padding: Int32 = 0
}
