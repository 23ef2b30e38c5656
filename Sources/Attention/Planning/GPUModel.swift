extension DeviceProfile {
  /// GPUs that plans can be made for where there is none, each by the name that its vendor's compiler has for it.
  ///
  /// To add a device, add a row: the local memory and work-items of a group and the sub-group sizes that a kernel can
  /// demand, as its driver reports them, and whether it has matrix units. `Scripts/gpu-compilers` then holds its kernels to what its compiler says of them.
  package static let gpuModels: [DeviceProfile] = {
    let table = """
      name    vendor localMemory groupItems subgroups matrixUnits
      gfx906  amd    65536       256        -         no
      gfx90a  amd    65536       256        -         no
      gfx942  amd    65536       256        -         no
      gfx1030 amd    65536       256        -         no
      gfx1100 amd    65536       256        -         no
      gfx1201 amd    65536       256        -         no
      sm_70   nvidia 49152       1024       -         no
      sm_80   nvidia 49152       1024       -         yes
      sm_89   nvidia 49152       1024       -         yes
      sm_90   nvidia 49152       1024       -         yes
      tgllp   intel  65536       512        8,16,32   no
      dg2     intel  65536       1024       8,16,32   no
      pvc     intel  131072      1024       16,32     no
      """
    return table.split(separator: "\n").dropFirst().compactMap { row in
      let columns = row.split(separator: " ").map(String.init)
      guard columns.count == 6, let vendor = DeviceVendor(rawValue: columns[1]), let localMemory = Int(columns[2]),
        let groupItems = Int(columns[3])
      else { return nil }
      return DeviceProfile(
        identifier: columns[0], name: "a GPU of \(vendor.rawValue)", deviceClass: .gpu, vendor: vendor,
        localMemory: localMemory, maxWorkGroupSize: groupItems,
        requiredSubgroupSizes: columns[4].split(separator: ",").compactMap { Int($0) },
        hasMatrixUnits: columns[5] == "yes", hostUnifiedMemory: false)
    }
  }()
}
