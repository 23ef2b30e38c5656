import OpenCL

/// The kernel that rotates whole tensors.
enum RotaryProgram {
  static let sources = ["common", "rotary", "rotate"]

  static func program(_ elementType: ElementType) -> KernelProgram {
    KernelProgram(
      kernels: ["rotate_rows"], sources: sources,
      options: ["-cl-std=CL1.2", "-DSTORAGE=\(elementType.storageOption)"])
  }

  static func kernel(_ elementType: ElementType, _ context: Context) throws -> Kernel {
    try Kernel(try program(elementType).build(context), "rotate_rows")
  }
}
