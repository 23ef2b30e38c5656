// swift-tools-version: 6.1
import PackageDescription

// Floors: each target imports only what stands above it in this list.
let package = Package(
  name: "swift-attention",
  products: [
    .library(name: "Attention", targets: ["Attention"]),
    .library(name: "TensorFiles", targets: ["TensorFiles"]),
    .library(name: "AttentionModels", targets: ["AttentionModels"]),
    .executable(name: "attend", targets: ["attend"]),
  ],
  dependencies: [
    // Options, help texts and usage errors of the command line.
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
  ],
  targets: [
    .systemLibrary(
      name: "OpenCLSystem",
      pkgConfig: "OpenCL",
      providers: [.apt(["ocl-icd-opencl-dev", "opencl-headers"])]
    ),
    .target(
      name: "COpenCL",
      dependencies: ["OpenCLSystem"],
      linkerSettings: [.linkedLibrary("OpenCL")]
    ),
    .target(name: "CAttention", exclude: ["template"]),
    .target(name: "OpenCL", dependencies: ["COpenCL"]),
    .target(name: "Attention", dependencies: ["CAttention", "OpenCL"]),
    .target(name: "TensorFiles", dependencies: ["Attention"]),
    .target(name: "AttentionModels", dependencies: ["Attention", "CAttention", "OpenCL", "TensorFiles"]),
    .executableTarget(
      name: "attend",
      dependencies: [
        "Attention", "AttentionModels", "OpenCL", "TensorFiles",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]
    ),
    .testTarget(name: "OpenCLTests", dependencies: ["OpenCL", "COpenCL"]),
    .target(
      name: "AttentionTestSupport", dependencies: ["Attention", "TensorFiles"], path: "Tests/AttentionTestSupport"),
    .testTarget(
      name: "AttentionTests",
      dependencies: ["Attention", "CAttention", "OpenCL", "TensorFiles", "AttentionTestSupport"],
      resources: [.copy("Fixtures")]
    ),
    .testTarget(
      name: "TensorFilesTests", dependencies: ["Attention", "TensorFiles"], resources: [.copy("Fixtures")]),
    .testTarget(
      name: "AttentionModelsTests",
      dependencies: ["Attention", "AttentionModels", "CAttention", "TensorFiles", "AttentionTestSupport"],
      resources: [.copy("Fixtures")]
    ),
    .testTarget(
      name: "AttendTests", dependencies: ["attend", "Attention", "AttentionTestSupport", "OpenCL", "TensorFiles"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c2x
)
