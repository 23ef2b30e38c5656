// swift-tools-version: 6.1
import PackageDescription

// A user of the library, outside its package: what it builds from is public. Scripts/check-readme runs it.
let package = Package(
  name: "Consumer",
  dependencies: [.package(name: "swift-attention", path: "../..")],
  targets: [
    .executableTarget(
      name: "Consumer",
      dependencies: [
        .product(name: "Attention", package: "swift-attention"),
        .product(name: "TensorFiles", package: "swift-attention"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
