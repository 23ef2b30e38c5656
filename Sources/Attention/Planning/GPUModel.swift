extension DeviceProfile {
  /// GPUs that plans can be made for where there is none, each by the name that its vendor's compiler has for it.
  ///
  /// To add a device, add a row: the local memory and work-items of a group and the sub-group sizes that a kernel can
  /// demand, as its driver reports them. `Scripts/gpu-compilers` then holds its kernels to what its compiler says of them.
  package static let gpuModels: [DeviceProfile] = {
    let table = """
      name    vendor localMemory groupItems subgroups
      gfx906  amd    65536       256        -
      gfx90a  amd    65536       256        -
      gfx942  amd    65536       256        -
      gfx1030 amd    65536       256        -
      gfx1100 amd    65536       256        -
      gfx1201 amd    65536       256        -
      sm_70   nvidia 49152       1024       -
      sm_80   nvidia 49152       1024       -
      sm_89   nvidia 49152       1024       -
      sm_90   nvidia 49152       1024       -
      tgllp   intel  65536       512        8,16,32
      dg2     intel  65536       1024       8,16,32
      pvc     intel  131072      1024       16,32
      """
    return table.split(separator: "\n").dropFirst().compactMap { row in
      let columns = row.split(separator: " ").map(String.init)
      guard columns.count == 5, let vendor = DeviceVendor(rawValue: columns[1]), let localMemory = Int(columns[2]),
        let groupItems = Int(columns[3])
      else { return nil }
      return DeviceProfile(
        identifier: columns[0], name: "a GPU of \(vendor.rawValue)", deviceClass: .gpu, vendor: vendor,
        localMemory: localMemory, maxWorkGroupSize: groupItems,
        requiredSubgroupSizes: columns[4].split(separator: ",").compactMap { Int($0) },
        matrixUnits: MatrixUnits.of(architecture: columns[0]), hostUnifiedMemory: false)
    }
  }()
}
