/// A kernel that was built cannot be used on the device: the planner should try other tiles.
package struct TilesRejected: Error {
  let device: String
  let tiles: KernelTiles
  /// What the device's matrix units turned out not to multiply, and why, where that is the trouble; nil where the kernel is too
  /// large for its work-groups.
  package var matrixUnits: (type: ElementType, reason: String)?
}
