extension KernelTiles {
  /// Tiles that differ from these in one step: one size larger or smaller, or two that belong together. Some cannot be
  /// built or do not fit; ``fit(_:_:)`` says which.
  package func neighbours(on device: DeviceProfile) -> [KernelTiles] {
    guard let family else { return [] }
    return steps(on: device).compactMap { KernelTiles(family, sizes: $0, vendor: device.vendor) }.filter { $0 != self }
  }

  private func steps(on device: DeviceProfile) -> [[Int]] {
    var steps = Steps(sizes)
    switch self {
    case .fusedCPU:
      // vector rows columns rowBlocks keyPanels amx. Accumulators past the registers spill, and more of them take long to
      // compile: rows × columns × vector is kept to what 32 registers hold.
      steps.walk(3, over: [1, 2, 3, 4, 6, 8, 12, 16, 24, 32])
      steps.walk(4, over: [1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64])
      steps.walk(1, over: [1, 2, 3, 4, 6, 8, 12])
      steps.walk(2, over: [1, 2, 3, 4])
      steps.walk(0, over: [4, 8, 16])
      if device.amx != .none { steps.replace([0: 16, 1: 16, 2: 2, 3: 8, 4: 8, 5: device.amx.rawValue]) }
      if sizes[5] != 0 { steps.replace([1: 12, 3: 6, 5: 0]) }
      let registers = 32 * max(4, device.vectorWidth)
      return steps.found.filter { $0[5] != 0 || $0[0] * $0[1] * $0[2] <= registers }
    case .fusedGPU:
      // rows keys groupX groupY oneBuffer depth valueKeys prefetch scoreUnroll matrixUnits
      steps.scale([0])  // more rows an item
      steps.scale([0, 3])  // more items down, as many rows each
      steps.scale([1])
      steps.scale([1, 2])
      steps.scale([2], against: [3])  // the same items, wider or taller
      steps.replace([4: 1 - sizes[4], 5: 0, 6: 0])
      steps.replace([4: 1, 5: 32, 6: 8])
      if sizes[4] == 1 {
        steps.walk(5, over: [0, 16, 32, 64, 128])
        steps.walk(6, over: [0, 2, 4, 8, 16, 32])
      }
      steps.replace([7: 1 - sizes[7]])
      steps.walk(8, over: [1, 2, 4, 8])
    case .staged:
      // groupX groupY rows columns vector depth softmaxItems softmaxVector chunk
      steps.scale([0])
      steps.scale([1])
      steps.walk(2, over: [1, 2, 4, 6, 8])
      steps.walk(3, over: [1, 2, 4])
      steps.walk(4, over: [4, 8, 16])
      steps.walk(5, over: [8, 16, 32, 64, 128])
      steps.scale([6])
      steps.walk(7, over: [4, 8, 16])
      steps.walk(8, over: [1024, 2048, 4096, 8192])
    case .decode: break
    }
    return steps.found
  }
}

/// Steps from a row of sizes.
private struct Steps {
  private let start: [Int]
  private(set) var found: [[Int]] = []

  init(_ start: [Int]) { self.start = start }

  /// The size before and the size after this one of a list in order.
  mutating func walk(_ index: Int, over values: [Int]) {
    let now = start[index]
    for value in [values.last { $0 < now }, values.first { $0 > now }] {
      if let value { replace([index: value]) }
    }
  }

  /// Sizes doubled together and halved together; others the other way, so that their product stays.
  mutating func scale(_ indices: [Int], against others: [Int] = []) {
    replace(
      Dictionary(uniqueKeysWithValues: indices.map { ($0, start[$0] * 2) } + others.map { ($0, start[$0] / 2) }))
    replace(
      Dictionary(uniqueKeysWithValues: indices.map { ($0, start[$0] / 2) } + others.map { ($0, start[$0] * 2) }))
  }

  mutating func replace(_ changes: [Int: Int]) {
    var sizes = start
    for (index, value) in changes { sizes[index] = value }
    found.append(sizes)
  }
}
