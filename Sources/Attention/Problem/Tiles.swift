extension Int {
  /// Tiles of a length that cover so many; the last may be cut.
  package func tiles(of length: Int) -> Int { (self + length - 1) / length }
}

/// The least multiple that is not less.
func roundedUp(_ length: Int, to multiple: Int) -> Int { length.tiles(of: multiple) * multiple }
