import Attention

/// One device on one shape; the names in JSON are these in snake case.
struct BenchRow: Encodable {
  let device: String
  let deviceName: String
  let backend: String
  let kernel: String
  let dtype: String
  let batch: Int
  let heads: Int
  let kvHeads: Int
  let queryLength: Int
  let keyLength: Int
  let headDimension: Int
  let valueDimension: Int
  let causal: Bool
  let window: OrNull<[Int?]>
  let keyLengths: OrNull<[Int]>
  let kvType: OrNull<String>
  let repetitions: Int
  let kernelSecondsMedian: Double
  let kernelSecondsMin: Double
  let endToEndSecondsMedian: Double
  let flops: Double
  @Finite private(set) var gflops: Double
  let bytes: Int
  @Finite private(set) var gigabytesPerSecond: Double
  let deviceBytesPeak: Int
  @Finite private(set) var maxAbsError: Double
  /// Seconds spent on compiling kernels or loading compiled ones, before anything was timed.
  let kernelBuildSeconds: Double
  /// What a call costs above its kernels with its operands on the device; null where it is lost beside them.
  let callOverheadSeconds: OrNull<Double>
  var speedupVsCpu: OrNull<Double>

  init(
    _ shape: Shape, _ problem: AttentionProblem, _ plan: AttentionPlan, cacheKernel: KernelChoice? = nil,
    kernelSeconds: [Double], endToEndSeconds: [Double], callOverhead: Double?, peakBytes: Int, buildSeconds: Double,
    error: Double
  ) {
    let devices = plan.parts.map(\.device)
    device = devices.map(\.identifier).joined(separator: ",")
    deviceName = devices.map(\.name).joined(separator: ", ")
    backend = Self.distinct(devices.map { $0.isOpenCL ? "opencl" : "cpu" })
    kernel = cacheKernel?.rawValue ?? Self.distinct(plan.parts.map(\.kernelName))
    dtype = shape.dtype.rawValue
    batch = shape.batch
    heads = shape.heads
    kvHeads = shape.kvHeads
    queryLength = shape.queryLength
    keyLength = shape.keyLength
    headDimension = shape.headDimension
    valueDimension = shape.valueDimension
    causal = shape.causal
    window = OrNull(shape.window?.values)
    keyLengths = OrNull(shape.keyLengths)
    kvType = OrNull(shape.kvType?.rawValue)
    repetitions = kernelSeconds.count
    kernelSecondsMedian = kernelSeconds.median
    kernelSecondsMin = kernelSeconds.min() ?? 0
    endToEndSecondsMedian = endToEndSeconds.median
    flops = problem.floatingPointOperations
    gflops = flops / kernelSecondsMedian / 1e9
    bytes = shape.kvType.map { shape.cachedBytes(problem, $0) } ?? problem.operandBytes
    gigabytesPerSecond = Double(bytes) / kernelSecondsMedian / 1e9
    deviceBytesPeak = peakBytes
    maxAbsError = error
    kernelBuildSeconds = buildSeconds
    callOverheadSeconds = OrNull(callOverhead)
    speedupVsCpu = OrNull(nil)
  }

  private static func distinct(_ names: [String]) -> String {
    names.reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }.joined(separator: ",")
  }

  static var table: Table {
    Table(
      ["problem", "device", "kernel", "kernel time", "end to end", "GFLOP/s", "GB/s", "memory", "error", "vs CPU"],
      rightAligned: [3, 4, 5, 6, 7, 8, 9], shrinking: 0)
  }

  func cells(_ shape: Shape) -> [String] {
    [
      shape.title, device, kernel, Quantity.seconds(kernelSecondsMedian),
      Quantity.seconds(endToEndSecondsMedian), Quantity.rounded(gflops), Quantity.rounded(gigabytesPerSecond),
      Quantity.bytes(deviceBytesPeak), Quantity.scientific(maxAbsError),
      speedupVsCpu.value.map { Quantity.rounded($0) + "×" } ?? "",
    ]
  }
}

extension Shape {
  /// The bytes of queries, output, and the keys and values as a cache keeps them, each counted once.
  fileprivate func cachedBytes(_ problem: AttentionProblem, _ storage: KVCacheStorage) -> Int {
    let rows = problem.sequences.reduce(0) { $0 + $1.keyLength } * kvHeads
    let queries = batch * heads * queryLength * (headDimension + valueDimension) * problem.elementType.byteCount
    return queries + rows * (storage.rowBytes(headDimension) + storage.rowBytes(valueDimension))
  }
}
