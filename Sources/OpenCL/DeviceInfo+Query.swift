internal import COpenCL

extension DeviceInfo {
  /// Asks a device for everything.
  ///
  /// - Throws: `OpenCLError` naming the property the device failed to answer.
  init(
    of handle: Handle<HandleKind.Device>, platformName: String, platformVersion: String
  ) throws(OpenCLError) {
    var ask = DeviceQuery(handle: handle)
    let name = try ask.string("CL_DEVICE_NAME", CL_DEVICE_NAME)
    ask.query.device = name
    let extensions = try ask.string("CL_DEVICE_EXTENSIONS", CL_DEVICE_EXTENSIONS).split(separator: " ").map(String.init)

    // Asking for what the device does not know of would be an error, so only after the extension was seen.
    var subgroupSizes: [Int] = []
    if extensions.contains("cl_intel_required_subgroup_size") {
      subgroupSizes = try ask.query.list("CL_DEVICE_SUB_GROUP_SIZES_INTEL", 0, ask.function(0x4108))
    }

    var computeCapability: Int?
    if extensions.contains("cl_nv_device_attribute_query") {
      let major = try ask.query.value("CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV", cl_uint(0), ask.function(0x4000))
      let minor = try ask.query.value("CL_DEVICE_COMPUTE_CAPABILITY_MINOR_NV", cl_uint(0), ask.function(0x4001))
      computeCapability = 10 * Int(major) + Int(minor)
    }

    self.init(
      name: name,
      vendor: try ask.string("CL_DEVICE_VENDOR", CL_DEVICE_VENDOR),
      vendorID: try ask.value("CL_DEVICE_VENDOR_ID", CL_DEVICE_VENDOR_ID, cl_uint(0)),
      platformName: platformName,
      platformVersion: platformVersion,
      deviceVersion: try ask.string("CL_DEVICE_VERSION", CL_DEVICE_VERSION),
      driverVersion: try ask.string("CL_DRIVER_VERSION", CL_DRIVER_VERSION),
      openCLCVersion: try ask.string("CL_DEVICE_OPENCL_C_VERSION", CL_DEVICE_OPENCL_C_VERSION),
      kind: DeviceKind(type: try ask.value("CL_DEVICE_TYPE", CL_DEVICE_TYPE, cl_device_type(0))),
      computeUnits: try ask.count("CL_DEVICE_MAX_COMPUTE_UNITS", CL_DEVICE_MAX_COMPUTE_UNITS),
      clockMHz: try ask.count("CL_DEVICE_MAX_CLOCK_FREQUENCY", CL_DEVICE_MAX_CLOCK_FREQUENCY),
      globalMemory: try ask.bytes("CL_DEVICE_GLOBAL_MEM_SIZE", CL_DEVICE_GLOBAL_MEM_SIZE),
      maxAllocation: try ask.bytes("CL_DEVICE_MAX_MEM_ALLOC_SIZE", CL_DEVICE_MAX_MEM_ALLOC_SIZE),
      localMemory: try ask.bytes("CL_DEVICE_LOCAL_MEM_SIZE", CL_DEVICE_LOCAL_MEM_SIZE),
      localMemoryIsDedicated: try ask.value("CL_DEVICE_LOCAL_MEM_TYPE", CL_DEVICE_LOCAL_MEM_TYPE, cl_uint(0))
        == cl_uint(CL_LOCAL),
      constantBuffer: try ask.bytes("CL_DEVICE_MAX_CONSTANT_BUFFER_SIZE", CL_DEVICE_MAX_CONSTANT_BUFFER_SIZE),
      maxWorkGroupSize: try ask.value("CL_DEVICE_MAX_WORK_GROUP_SIZE", CL_DEVICE_MAX_WORK_GROUP_SIZE, 0),
      maxWorkItemSizes: try ask.query.list(
        "CL_DEVICE_MAX_WORK_ITEM_SIZES", 0, ask.function(CL_DEVICE_MAX_WORK_ITEM_SIZES)),
      preferredVectorWidthFloat: try ask.count(
        "CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT", CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT),
      nativeVectorWidthFloat: try ask.count(
        "CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT", CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT),
      cacheLineBytes: try ask.count("CL_DEVICE_GLOBAL_MEM_CACHELINE_SIZE", CL_DEVICE_GLOBAL_MEM_CACHELINE_SIZE),
      globalCacheBytes: try ask.bytes("CL_DEVICE_GLOBAL_MEM_CACHE_SIZE", CL_DEVICE_GLOBAL_MEM_CACHE_SIZE),
      hostUnifiedMemory: try ask.flag("CL_DEVICE_HOST_UNIFIED_MEMORY", CL_DEVICE_HOST_UNIFIED_MEMORY),
      memoryBaseAlignBits: try ask.count("CL_DEVICE_MEM_BASE_ADDR_ALIGN", CL_DEVICE_MEM_BASE_ADDR_ALIGN),
      extensions: extensions,
      available: try ask.flag("CL_DEVICE_AVAILABLE", CL_DEVICE_AVAILABLE),
      compilerAvailable: try ask.flag("CL_DEVICE_COMPILER_AVAILABLE", CL_DEVICE_COMPILER_AVAILABLE),
      littleEndian: try ask.flag("CL_DEVICE_ENDIAN_LITTLE", CL_DEVICE_ENDIAN_LITTLE),
      singleFPConfig: FloatingPointSupport(
        rawValue: try ask.value("CL_DEVICE_SINGLE_FP_CONFIG", CL_DEVICE_SINGLE_FP_CONFIG, UInt64(0))),
      requiredSubgroupSizes: subgroupSizes,
      computeCapability: computeCapability
    )
  }
}

extension DeviceKind {
  /// The kind named by OpenCL's bits. The bit for "default device" is passed over.
  fileprivate init(type: cl_device_type) {
    if type & cl_device_type(CL_DEVICE_TYPE_GPU) != 0 {
      self = .gpu
    } else if type & cl_device_type(CL_DEVICE_TYPE_CPU) != 0 {
      self = .cpu
    } else if type & cl_device_type(CL_DEVICE_TYPE_ACCELERATOR) != 0 {
      self = .accelerator
    } else {
      self = .other
    }
  }
}

/// `clGetDeviceInfo` of one device, by the type of the answer.
private struct DeviceQuery {
  let handle: Handle<HandleKind.Device>
  var query = Query(call: "clGetDeviceInfo")

  func function(_ name: Int32) -> InfoFunction {
    { [handle] room, place, length in clGetDeviceInfo(handle.raw, cl_device_info(name), room, place, length) }
  }

  func value<T: BitwiseCopyable>(_ property: String, _ name: Int32, _ zero: T) throws(OpenCLError) -> T {
    try query.value(property, zero, function(name))
  }

  func string(_ property: String, _ name: Int32) throws(OpenCLError) -> String {
    try query.string(property, function(name))
  }

  /// A `cl_uint`.
  func count(_ property: String, _ name: Int32) throws(OpenCLError) -> Int {
    Int(try value(property, name, cl_uint(0)))
  }

  /// A `cl_ulong`. Drivers without a limit answer all ones, which becomes the largest Int.
  func bytes(_ property: String, _ name: Int32) throws(OpenCLError) -> Int {
    Int(clamping: try value(property, name, cl_ulong(0)))
  }

  /// A `cl_bool`.
  func flag(_ property: String, _ name: Int32) throws(OpenCLError) -> Bool {
    try value(property, name, cl_bool(0)) != 0
  }
}
