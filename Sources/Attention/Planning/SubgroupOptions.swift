import OpenCL

/// The build options that hold a program's sub-groups to one size: the smallest of `sizes` that divides every work-group,
/// for that leaves an item the most registers. None where no size can be demanded.
///
/// Devices whose smallest sub-group is of 16 have too few registers for the tiles all the same, and offer files twice as
/// large.
func subgroupOptions(from sizes: [Int], dividing groups: [Int]) -> [String] {
  guard let size = [8, 16, 32].first(where: { size in sizes.contains(size) && groups.allSatisfy { $0 % size == 0 } })
  else { return [] }
  return ["-DSUBGROUP=\(size)"] + (sizes.min() == 16 ? ["-cl-intel-256-GRF-per-thread"] : [])
}

extension DeviceInfo {
  /// The sub-group sizes that a kernel of this package can demand, by the attribute that Kernels/common.cl uses.
  var pinnableSubgroupSizes: [Int] { supports(extension: "cl_intel_subgroups") ? requiredSubgroupSizes : [] }
}
