// swift-tools-version: 6.1
import PackageDescription

// A package of its own, so that users of the library never fetch what it depends on.
let package = Package(
  name: "Benchmarks",
  platforms: [.macOS(.v15)],
  dependencies: [
    .package(name: "swift-attention", path: ".."),
    // Without its default traits it counts no allocations and replaces no allocator.
    .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.0", traits: []),
  ],
  targets: [
    .executableTarget(
      name: "AttentionBenchmarks",
      dependencies: [
        .product(name: "Attention", package: "swift-attention"),
        .product(name: "TensorFiles", package: "swift-attention"),
        .product(name: "Benchmark", package: "benchmark"),
      ],
      path: "Benchmarks/AttentionBenchmarks",
      plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
    )
  ],
  swiftLanguageModes: [.v6]
)
