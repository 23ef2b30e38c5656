import Attention
import Benchmark
import Foundation
import TensorFiles

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

  // A plan of many blocks: 32 heads on 65,536 keys.
  Benchmark("Plan, 32 heads × 65536 × 128") { benchmark, work in
    for _ in benchmark.scaledIterations { blackHole(try work.engine.plan(work.problem)) }
  } setup: {
    try LongContext()
  }

  // From a file to a call: its header, its checks, and 24 MiB of numbers.
  Benchmark("Read a case file, 8 heads × 4096 × 64") { benchmark, file in
    for _ in benchmark.scaledIterations { blackHole(try AttentionCaseFile(path: file.path)) }
  } setup: {
    try CaseOnDisk(heads: 8, length: 4096, dimension: 64)
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

/// A problem without data: planning needs none.
private struct LongContext {
  let engine: AttentionEngine
  let problem: AttentionProblem

  init() throws {
    engine = try AttentionEngine()
    problem = try AttentionProblem(
      batch: 1, queryHeads: 32, keyValueHeads: 32, queryLength: 65_536, keyLength: 65_536, headDimension: 128,
      valueDimension: 128, elementType: .float32, mask: .causal(.lowerRight))
  }
}

/// A case file in a temporary folder, there as long as the object.
private final class CaseOnDisk {
  let path: String

  init(heads: Int, length: Int, dimension: Int) throws {
    let tensor = try Tensor(numbers(heads * length * dimension), shape: [1, heads, length, dimension])
    path = FileManager.default.temporaryDirectory.appending(path: "case-\(UUID().uuidString).safetensors").path
    try Safetensors.write(["query": tensor, "key": tensor, "value": tensor], to: path)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
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
