import OpenCL

/// A program of kernels as a GPU would be given it: what Scripts/gpu-compilers compiles where there is no GPU.
package struct GPUProgram {
  package let kernels: [String]
  /// Names of the files in Kernels that make it, one after the other.
  package let sources: [String]
  package let options: String
}

/// The programs that the planner would have a GPU of a vendor build.
///
/// - Parameters:
///   - localMemory: bytes that a work-group may have, and `maxWorkGroupSize` the items of it.
///   - subgroupSizes: sub-group sizes that a kernel can demand; Intel's devices have such.
package func gpuPrograms(
  vendor: DeviceVendor, localMemory: Int, maxWorkGroupSize: Int, subgroupSizes: [Int], headDimension: Int,
  valueDimension: Int, elementType: ElementType
) -> [GPUProgram] {
  let device = DeviceProfile(
    identifier: vendor.rawValue, name: vendor.rawValue, deviceClass: .gpu, localMemory: localMemory,
    maxWorkGroupSize: maxWorkGroupSize, requiredSubgroupSizes: subgroupSizes)
  let aligned = headDimension % 4 == 0 && valueDimension % 4 == 0
  var programs: [GPUProgram] = []
  let fused = FusedGPUTiles.candidates(
    vendor: vendor, headDimension: headDimension, valueDimension: valueDimension
  ).first { $0.fit(device, headDimension: headDimension, valueDimension: valueDimension) }
  if let fused {
    programs.append(
      GPUProgram(
        kernels: ["fused_gpu"], sources: FusedGPUProgram.sources,
        options: FusedGPUProgram.options(
          fused, headDimension: headDimension, valueDimension: valueDimension, elementType: elementType,
          aligned: aligned, subgroupSizes: subgroupSizes)))
  }
  if let staged = StagedTiles.candidates(for: .gpu).first(where: { $0.fit(device) }) {
    let info = DeviceInfo(
      name: device.name, kind: .gpu, computeUnits: 1,
      extensions: subgroupSizes.isEmpty ? [] : ["cl_intel_subgroups"], requiredSubgroupSizes: subgroupSizes)
    programs.append(
      GPUProgram(
        kernels: ["scores", "softmax_parts", "softmax_normalize", "weighted_values"], sources: StagedKernels.sources,
        options: StagedKernels.options(
          StagedKernels.Key(elementType: elementType, tiles: staged, aligned: aligned), info)))
  }
  return programs
}

/// What the fused kernel of GPU-class devices is built from.
enum FusedGPUProgram {
  static let sources = ["common", "modifiers", "online_softmax", "fused_gpu", "mask_classes"]

  static func options(
    _ tiles: FusedGPUTiles, headDimension: Int, valueDimension: Int, elementType: ElementType, aligned: Bool,
    subgroupSizes: [Int]
  ) -> String {
    var options = [
      "-cl-std=CL1.2", "-DSTORAGE=\(elementType.storageOption)", "-DHEAD_DIMENSION=\(headDimension)",
      "-DVALUE_DIMENSION=\(valueDimension)", "-DCLASSIFY_ITEMS=\(min(64, tiles.groupItems))",
    ]
    if aligned { options.append("-DALIGNED") }
    return (options + tiles.options(subgroupSizes: subgroupSizes)).joined(separator: " ")
  }
}
