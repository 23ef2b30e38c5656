/// The distinct planes of a mask that some heads see, in the order in which they are on the device.
struct DistinctPlanes {
  /// Where each begins in its tensor.
  private(set) var starts: [Int] = []
  private var places: [Int: Int] = [:]

  /// The place of the plane that begins there. One that is new joins the others.
  mutating func place(of start: Int) -> Int {
    if let place = places[start] { return place }
    places[start] = starts.count
    starts.append(start)
    return starts.count - 1
  }
}
