import OpenCL

/// Kernels that are built together: what a device is given to compile.
package struct KernelProgram: Sendable, Hashable {
  package let kernels: [String]
  /// Files of Kernels without ".cl", in the order in which the compiler sees them.
  package let sources: [String]
  package let options: [String]

  func build(_ context: Context) throws(OpenCLError) -> Program {
    try Program(context, sources: sources, options: options.joined(separator: " "))
  }
}

extension DevicePlan {
  /// The programs that the plan's kernels are in, as the device that it is for builds them. No device is needed to ask.
  package func programs(for problem: AttentionProblem, on device: DeviceProfile) -> [KernelProgram] {
    let sizes = device.requiredSubgroupSizes
    let main: [KernelProgram] =
      switch tiles {
      case .staged(let tiles): [StagedKernels.Key(problem, self, tiles).program(subgroupSizes: sizes)]
      case .fusedCPU(let tiles): [FusedCPUKernels.Key(problem, self, tiles).program]
      case .fusedGPU(let tiles): [FusedGPUKernels.Key(problem, self, tiles).program(subgroupSizes: sizes)]
      case .decode(let tiles):
        [DecodeKernels.Key(problem, self, tiles).program, DecodeKernels.Key(problem, self, tiles).mergeProgram]
      }
    let insight = insightTiles.map { StagedKernels.Key(problem, self, $0).insightProgram(subgroupSizes: sizes) }
    return main + [insight].compactMap { $0 }
  }
}
