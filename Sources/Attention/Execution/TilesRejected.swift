/// A kernel was built and is too large for its work-group on the device: the planner should try other tiles.
package struct TilesRejected: Error {
  let device: String
  let tiles: KernelTiles
}
