import OpenCL

/// The kernel that rotates whole tensors.
enum RotaryProgram {
  static let sources = ["common", "rotary", "rotate"]

  static func kernel(_ elementType: ElementType, _ context: Context) throws -> Kernel {
    let options = "-cl-std=CL1.2 -DSTORAGE=\(elementType.storageOption)"
    return try Kernel(try Program(context, sources: sources, options: options), "rotate_rows")
  }
}
