import OpenCL

/// One launch of a fused kernel of matrix units, before it is used: whether they are what Kernels/matrix_units.cl takes them for.
/// What no device at hand could show is thus shown by the device itself, and a device that differs does without them.
///
/// Every query stands out from all keys but one, by a score that is larger by 256. Its output is that key's value, to the bit,
/// if every number is in its place, if products are exact and sums float32, and if nothing small is taken for 0: keys, and half
/// of the values, are float16 numbers below 2⁻¹⁴, where some units have only zeros.
package struct MatrixUnitTrial {
  private let tiles: FusedGPUTiles
  private let call: AttentionCall
  private let expected: Tensor

  /// - Parameters:
  ///   - tiles: Those that the kernel is built with.
  ///   - type: What it multiplies.
  ///   - headDimension: Columns of the queries and keys.
  ///   - valueDimension: Columns of the values.
  package init(_ tiles: FusedGPUTiles, _ type: ElementType, headDimension D: Int, valueDimension Dv: Int) throws {
    self.tiles = tiles
    let rows = tiles.tileRows + 3
    let keys = 2 * tiles.tileKeys - 3
    // Column d of key j is ±2⁻¹⁶ by bit d % 8 of j: no two keys have all eight in common, and D / 8 columns tell each two apart.
    func code(_ j: Int, _ d: Int) -> Float { j >> (d % 8) & 1 == 0 ? -1 : 1 }
    func attended(_ i: Int) -> Int { (5 * i + 3) % keys }
    func value(_ j: Int, _ n: Int) -> Float {
      let number = Float((31 * j + 17 * n) % 255 - 127)
      return number * (n % 2 == 0 ? 0x1p-24 : 0x1p-3)
    }
    func tensor(_ rows: Int, _ columns: Int, _ element: (Int, Int) -> Float) throws -> Tensor {
      let numbers = (0..<rows).flatMap { row in (0..<columns).map { element(row, $0) } }
      return try Tensor(numbers, shape: [1, 1, rows, columns], as: type)
    }
    call = AttentionCall(
      query: try tensor(rows, D) { code(attended($0), $1) }, key: try tensor(keys, D) { 0x1p-16 * code($0, $1) },
      value: try tensor(keys, Dv, value))
    expected = try tensor(rows, Dv) { value(attended($0), $1) }
  }

  /// Whether the kernel passes.
  ///
  /// - Throws: `OpenCLError` where it cannot be launched.
  package func passes(_ kernel: Kernel, _ context: Context) throws -> Bool {
    var call = call
    call.scale = Float(1024 << 16) / Float(call.query.shape[3])
    call.returning = [.output, .logSumExp]
    let problem = try AttentionProblem(call)
    let queue = try CommandQueue(context)
    let record = HeadRecord(problem, batch: 0, head: 0, alibiSlopes: nil, sinks: nil)
    let heads = try withUnsafeBytes(of: record) { try Buffer(context, copying: $0) }
    let none = try Buffer(context, byteCount: 0)
    let output = try Buffer(context, byteCount: expected.byteCount)
    let rowTiles = problem.queryLength.tiles(of: tiles.tileRows)
    var arguments = ArgumentList(kernel)
    try arguments.add(heads)
    for operand in [call.query, call.key, call.value] {
      try operand.withUnsafeBytes { try arguments.add(Buffer(context, copying: $0)) }
    }
    try arguments.add(none, none, none, output)
    try arguments.add(Buffer(context, byteCount: problem.queryLength * MemoryLayout<Float>.stride))
    try arguments.add(problem, firstRow: 0, rowTiles: rowTiles, heads: 1, tiles)
    try queue.enqueue(kernel, groups: [rowTiles], items: tiles.groupItems)
    let found = try queue.read(output, zero: UInt8(0), count: expected.byteCount)
    return expected.withUnsafeBytes { found.elementsEqual($0) }
  }
}
