import Attention
import Benchmark

/// Times parts of the library through its public interface. `attend bench` compares devices; this compares versions.
let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock, .throughput], warmupIterations: 2, maxDuration: .seconds(2), maxIterations: 10_000)

  // From a call to a plan: what is paid before anything is computed.
  Benchmark("Problem and plan, 8 heads × 512 × 64", configuration: .init(scalingFactor: .kilo)) { benchmark, work in
    for _ in benchmark.scaledIterations { blackHole(try work.engine.plan(AttentionProblem(work.call))) }
  } setup: {
    try Work(heads: 8, length: 512, dimension: 64)
  }

  // The least that a call costs, from host arrays to host arrays.
  addCall("Small call, 1 head × 16 × 16") { try Work(heads: 1, length: 16, dimension: 16) }

  for elementType in [ElementType.float16, .bfloat16] { addConversions(elementType) }

  // One middling call on the device that `auto` finds, and on the reference.
  for device in ["auto", "reference"] {
    for elementType in [ElementType.float32, .float16, .bfloat16] {
      addCall("8 heads × 512 × 64, \(elementType), \(device)") {
        try Work(heads: 8, length: 512, dimension: 64, as: elementType, on: device)
      }
    }
  }
}

/// A call and the engine to compute it on.
private struct Work {
  let engine: AttentionEngine
  let call: AttentionCall

  init(
    heads: Int, length: Int, dimension: Int, as elementType: ElementType = .float32, on device: String = "auto"
  ) throws {
    engine = try AttentionEngine(device: DeviceSelection(device))
    let tensor = try Tensor(
      numbers(heads * length * dimension), shape: [1, heads, length, dimension], as: elementType)
    call = AttentionCall(query: tensor, key: tensor, value: tensor)
  }
}

/// The iterations that warm up build the kernels and the device's buffers.
private func addCall(_ name: String, _ work: @escaping () throws -> Work) {
  Benchmark(name) { benchmark, work in
    for _ in benchmark.scaledIterations { blackHole(try work.engine.attention(work.call)) }
  } setup: {
    try work()
  }
}

private func addConversions(_ elementType: ElementType) {
  Benchmark("float32 → \(elementType), 1 Mi elements") { benchmark, values in
    for _ in benchmark.scaledIterations { blackHole(try Tensor(values, shape: [values.count], as: elementType)) }
  } setup: {
    numbers(1 << 20)
  }
  Benchmark("\(elementType) → float32, 1 Mi elements") { benchmark, tensor in
    for _ in benchmark.scaledIterations { blackHole(tensor.floats()) }
  } setup: {
    try Tensor(numbers(1 << 20), shape: [1 << 20], as: elementType)
  }
}

/// Numbers from −1 to 1, the same each time.
private func numbers(_ count: Int) -> [Float] {
  var state: UInt32 = 1
  return (0..<count).map { _ in
    state = state &* 1_664_525 &+ 1_013_904_223
    return Float(Int32(bitPattern: state)) / Float(Int32.max)
  }
}
