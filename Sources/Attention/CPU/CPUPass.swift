import CAttention

/// One block of heads on its way through the kernels.
struct CPUPass {
  private let kernels: attention_kernels
  private let call: attention_call
  private let heads: CPUHeads
  private let threads: Threads
  private let scratch: ScratchMemory
  private let workerBytes: Int
  private let outputs: AttentionOutputs

  init(
    _ kernels: attention_kernels, _ call: attention_call, _ outputs: AttentionOutputs, _ heads: CPUHeads,
    threads: Threads, _ scratch: ScratchMemory
  ) {
    self.kernels = kernels
    self.heads = heads
    self.threads = threads
    self.scratch = scratch
    self.call = call
    self.outputs = outputs
    workerBytes = withUnsafePointer(to: call) { roundedUp(kernels.scratch_bytes($0), to: 64) }
  }

  /// A worker's number finds its memory.
  private func run(
    _ tasks: Int, _ workers: UnsafeMutableRawPointer,
    _ body: (UnsafePointer<attention_call>, Int, UnsafeMutableRawPointer) -> Void
  ) {
    withUnsafePointer(to: call) { call in
      threads.run(tasks) { task, worker in body(call, task, workers + worker * workerBytes) }
    }
  }

  // MARK: Many queries

  func attend(writingOutput: Bool = true) throws {
    let tileKeys = Int(kernels.tile_keys)
    let tileRows = Int(kernels.tile_rows)
    var layout = MemoryLayouter()
    let workers = layout.add(threads.count * workerBytes)
    var places: [(keys: Int, values: Int, fit: Int)] = []
    var keyTasks = TaskList()
    var rowTasks = TaskList()
    var lengths = 0
    withUnsafePointer(to: call) { call in
      for (index, keys) in heads.keyHeads.enumerated() {
        let count = keys.end_key - keys.first_key
        let tiles = keys.packedCount.tiles(of: tileKeys)
        places.append(
          (
            layout.add(4 * kernels.packed_key_floats(call, count)),
            layout.add(4 * kernels.packed_value_floats(call, count)),
            layout.add(tiles)
          ))
        keyTasks.add(tiles, of: index)
      }
    }
    for (index, head) in heads.heads.enumerated() {
      rowTasks.add(Int(head.query_length).tiles(of: tileRows), of: index)
      lengths += Int(head.query_length)
    }
    let rowPlace = layout.add(outputs.needsRows ? 8 * lengths : 0)

    try scratch.withBytes(layout.byteCount) { base in
      for (index, place) in places.enumerated() {
        heads.keyHeads[index].packed_keys = (base + place.keys).assumingMemoryBound(to: Float.self)
        heads.keyHeads[index].packed_values = (base + place.values).assumingMemoryBound(to: Float.self)
        heads.keyHeads[index].fit = (base + place.fit).assumingMemoryBound(to: UInt8.self)
      }
      var rows = (base + rowPlace).assumingMemoryBound(to: Float.self)
      for index in heads.heads.indices {
        if outputs.needsRows {
          let count = Int(heads.heads[index].query_length)
          heads.heads[index].shift = rows
          heads.heads[index].factor = rows + count
          rows += 2 * count
        }
        if !writingOutput {
          heads.heads[index].output = nil
          heads.heads[index].log_sum_exp = nil
        }
      }
      run(keyTasks.count, base + workers) { call, task, _ in
        let (index, tile) = keyTasks[task]
        kernels.pack_tile(call, heads.keyHeads.baseAddress.map { $0 + index }, Int32(tile))
      }
      // The last tiles first: under a causal mask they see the most keys, and short tasks at the end leave nobody waiting.
      run(rowTasks.count, base + workers) { call, task, memory in
        let (index, tile) = rowTasks.fromTheEnd(task)
        kernels.attend_tile(call, heads.heads.baseAddress.map { $0 + index }, Int32(tile), memory)
      }
      if !outputs.isDisjoint(with: [.scores, .weights, .topKeys]) {
        run(rowTasks.count, base + workers) { call, task, memory in
          let (index, tile) = rowTasks.fromTheEnd(task)
          kernels.row_results(call, heads.heads.baseAddress.map { $0 + index }, Int32(tile), memory)
        }
      }
      if outputs.contains(.received) {
        var tasks = TaskList()
        for (index, head) in heads.heads.enumerated() {
          tasks.add(head.keys.pointee.packedCount.tiles(of: tileKeys), of: index)
        }
        run(tasks.count, base + workers) { call, task, memory in
          let (index, tile) = tasks[task]
          kernels.key_results(call, heads.heads.baseAddress.map { $0 + index }, Int32(tile), memory)
        }
      }
    }
  }

  // MARK: Many queries in parts

  /// Parts of all of the block's groups, by the group's index; nil where one cannot be divided so.
  private func parts(of problem: AttentionProblem, mostKeys: Int) -> [(group: Int, part: CPUPart)]? {
    var all: [(group: Int, part: CPUPart)] = []
    for (index, group) in heads.groups.enumerated() {
      let parts = problem.sequences[group.batch].parts(
        tileRows: Int(kernels.tile_rows), tileKeys: Int(kernels.tile_keys), mostKeys: mostKeys)
      guard let parts else { return nil }
      all += parts.map { (index, $0) }
    }
    return all
  }

  /// The same where each worker packs by itself what it reads.
  func attendInParts(of problem: AttentionProblem, mostKeys: Int) throws {
    guard let parts = parts(of: problem, mostKeys: mostKeys) else { return try attend() }
    let (tileKeys, tileRows) = (Int(kernels.tile_keys), Int(kernels.tile_rows))
    var layout = MemoryLayouter()
    let workers = layout.add(threads.count * workerBytes)
    var own = MemoryLayouter()
    let (keyPlace, valuePlace) = withUnsafePointer(to: call) { call in
      (
        own.add(4 * kernels.packed_key_floats(call, Int32(mostKeys))),
        own.add(4 * kernels.packed_value_floats(call, Int32(mostKeys)))
      )
    }
    let fitPlace = own.add(mostKeys.tiles(of: tileKeys))
    let packed = layout.add(threads.count * own.byteCount)

    try scratch.withBytes(layout.byteCount) { base in
      withUnsafePointer(to: call) { call in
        threads.run(parts.count) { task, worker in
          // The last first, as in `attend`.
          let (group, part) = parts[parts.count - 1 - task]
          let place = base + packed + worker * own.byteCount
          var keys = heads.keyHeads[group]
          keys.first_key = Int32(part.keys.lowerBound)
          keys.end_key = Int32(part.keys.upperBound)
          keys.packed_keys = (place + keyPlace).assumingMemoryBound(to: Float.self)
          keys.packed_values = (place + valuePlace).assumingMemoryBound(to: Float.self)
          keys.fit = (place + fitPlace).assumingMemoryBound(to: UInt8.self)
          withUnsafePointer(to: keys) { keys in
            for tile in 0..<part.keys.count.tiles(of: tileKeys) { kernels.pack_tile(call, keys, Int32(tile)) }
            let first = heads.firstHead(of: group)
            for index in first..<first + heads.groups[group].heads.count {
              var head = heads.heads[index]
              head.keys = keys
              for tile in part.queries.lowerBound / tileRows..<part.queries.upperBound.tiles(of: tileRows) {
                kernels.attend_tile(call, &head, Int32(tile), base + workers + worker * workerBytes)
              }
            }
          }
        }
      }
    }
  }

  // MARK: Few queries

  func decode() throws {
    let tileKeys = Int(kernels.tile_keys)
    var layout = MemoryLayouter()
    let workers = layout.add(threads.count * workerBytes)
    let partialFloats = withUnsafePointer(to: call) { kernels.partial_floats($0) }
    var splits = TaskList()
    var merges = TaskList()
    var places: [Int] = []
    for (index, group) in heads.groups.enumerated() {
      let count = heads.keyHeads[index].packedCount.tiles(of: tileKeys)
      splits.add(count, of: index)
      merges.add(group.heads.count, of: index)
      places.append(layout.add(4 * count * partialFloats * group.heads.count * heads.queryLength(of: index)))
    }
    try scratch.withBytes(layout.byteCount) { base in
      func partials(_ index: Int) -> UnsafeMutablePointer<Float> {
        (base + places[index]).assumingMemoryBound(to: Float.self)
      }
      run(splits.count, base + workers) { call, task, memory in
        let (index, split) = splits[task]
        let group = heads.groups[index]
        let stride = partialFloats * group.heads.count * heads.queryLength(of: index)
        kernels.decode_split(
          call, heads.heads.baseAddress.map { $0 + heads.firstHead(of: index) }, Int32(group.heads.count),
          heads.keyHeads[index].first_key / Int32(tileKeys) + Int32(split), partials(index) + split * stride, memory)
      }
      run(merges.count, base + workers) { call, task, memory in
        let (index, head) = merges[task]
        let rowFloats = partialFloats * heads.queryLength(of: index)
        kernels.decode_merge(
          call, heads.heads.baseAddress.map { $0 + heads.firstHead(of: index) + head },
          Int32(heads.keyHeads[index].packedCount.tiles(of: tileKeys)), partials(index) + head * rowFloats,
          rowFloats * heads.groups[index].heads.count, memory)
      }
    }
  }
}

/// Tasks that belong to things of different sizes: task t is part `tile` of thing `index`.
private struct TaskList {
  private var ends: [Int] = []
  private(set) var count = 0

  mutating func add(_ tasks: Int, of index: Int) {
    count += tasks
    ends.append(count)
  }

  subscript(task: Int) -> (index: Int, tile: Int) {
    var (low, high) = (0, ends.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if ends[middle] > task { high = middle } else { low = middle + 1 }
    }
    return (low, task - (low == 0 ? 0 : ends[low - 1]))
  }

  /// The same with each thing's last part first.
  func fromTheEnd(_ task: Int) -> (index: Int, tile: Int) {
    let (index, tile) = self[task]
    return (index, ends[index] - (index == 0 ? 0 : ends[index - 1]) - 1 - tile)
  }
}

/// Places in one piece of memory, each aligned to 64 bytes.
private struct MemoryLayouter {
  private(set) var byteCount = 0

  mutating func add(_ bytes: Int) -> Int {
    defer { byteCount += roundedUp(bytes, to: 64) }
    return byteCount
  }
}
