import OpenCL

/// A kernel that was built cannot be used on the device: the planner should try other tiles.
package struct TilesRejected: Error {
  let device: String
  let tiles: KernelTiles
  /// What the device's matrix units turned out not to multiply, and why, where that is the trouble; nil where the kernel is too
  /// large for its work-groups or does not compile.
  package let matrixUnits: (type: ElementType, reason: String)?
  /// What the driver answered, where it was the driver that would not have them.
  package let cause: OpenCLError?

  package init(
    device: String, tiles: KernelTiles, matrixUnits: (type: ElementType, reason: String)? = nil,
    cause: OpenCLError? = nil
  ) {
    self.device = device
    self.tiles = tiles
    self.matrixUnits = matrixUnits
    self.cause = cause
  }

  /// What `body` makes of the first of some candidates, best first, that it does not reject.
  ///
  /// - Throws: Where it rejects them all, the driver's reason, or `otherwise` where the driver gave none.
  package static func firstAccepted<Candidate, Result>(
    of candidates: [Candidate], otherwise: AttentionError, _ body: (Candidate) throws -> Result
  ) throws -> Result {
    var cause: OpenCLError?
    for candidate in candidates {
      do {
        return try body(candidate)
      } catch let rejected as TilesRejected {
        cause = rejected.cause ?? cause
      }
    }
    throw cause.map(AttentionError.openCL) ?? otherwise
  }
}
