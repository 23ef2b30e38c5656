/// The tiles that were found best on a device, by class of problem: a value that the planner is given, with the device's
/// profile.
package struct TuningTable: Sendable, Equatable {
  private var tiles: [ProblemClass: KernelTiles] = [:]

  package init() {}

  /// The tiles of a class. They are of the class's family: others are not taken.
  package subscript(problem: ProblemClass) -> KernelTiles? {
    get { tiles[problem] }
    set {
      guard newValue == nil || newValue?.family == problem.family else { return }
      tiles[problem] = newValue
    }
  }

  package var count: Int { tiles.count }
}
