internal import COpenCL

/// A function of a program that a device executes, and the arguments it is to be called with.
///
/// Not Sendable: setting arguments is the one thing OpenCL does not allow from several threads. Make a kernel for each
/// thread; programs may be shared.
public final class Kernel {
  /// The program it belongs to.
  public let program: Program

  /// The name of the function.
  public let name: String

  /// How many arguments it has.
  public let argumentCount: Int

  /// The most work-items of one work-group for this kernel on the device, as the driver has it. ``runs(groupsOf:)`` says when it
  /// is the limit.
  public let workGroupSize: Int

  /// The factor of whose multiples a work-group's size should be, in work-items.
  public let preferredWorkGroupSizeMultiple: Int

  /// The memory each work-item uses for its own, in bytes; 0 if the driver does not say.
  public let privateMemorySize: Int

  /// The work-group's shape that the source demands, three numbers; nil if it leaves the choice.
  public let requiredWorkGroupSize: [Int]?

  let handle: Handle<HandleKind.Kernel>

  /// The buffers set as arguments. OpenCL does not keep them alive before the kernel is enqueued.
  var buffers: [Buffer?]

  /// Finds a function of a program.
  ///
  /// - Throws: `OpenCLError`; `.invalidKernelName` if the program has no kernel of that name.
  public init(_ program: Program, _ name: String) throws(OpenCLError) {
    let device = program.context.device
    var status: cl_int = 0
    let raw = try created(
      clCreateKernel(program.handle.raw, name, &status), status, "clCreateKernel", device: device, "kernel \(name)")
    do throws(OpenCLError) {
      let count = try Query(call: "clGetKernelInfo", device: device.name).value(
        "CL_KERNEL_NUM_ARGS of kernel \(name)", cl_uint(0)
      ) { room, place, length in clGetKernelInfo(raw, cl_kernel_info(CL_KERNEL_NUM_ARGS), room, place, length) }
      let facts = try KernelFacts(raw, name: name, device: device)
      argumentCount = Int(count)
      buffers = Array(repeating: nil, count: argumentCount)
      workGroupSize = facts.workGroupSize
      preferredWorkGroupSizeMultiple = facts.preferredMultiple
      privateMemorySize = facts.privateMemory
      requiredWorkGroupSize = facts.requiredSize
    } catch {
      // Without all of its properties there is no object whose deinit would do this.
      clReleaseKernel(raw)
      throw error
    }
    self.program = program
    self.name = name
    self.handle = Handle(raw: raw)
  }

  deinit {
    clReleaseKernel(handle.raw)
  }

  /// Whether the device can run it in work-groups of so many items, with the local memory that its arguments ask for now.
  ///
  /// Where the source demands a shape, the compiler has taken it, and what counts is the device's limit: rusticl answers a
  /// ``workGroupSize`` of 32 for kernels that it runs with far more.
  ///
  /// - Throws: `OpenCLError` of the query.
  public func runs(groupsOf items: Int) throws(OpenCLError) -> Bool {
    let info = program.context.device.info
    let most = requiredWorkGroupSize == nil ? workGroupSize : info.maxWorkGroupSize
    guard items <= most else { return false }
    return try localMemorySize <= info.localMemory
  }

  /// The local memory of a work-group in bytes, with the arguments that are set now.
  ///
  /// - Throws: `OpenCLError` of the query.
  public var localMemorySize: Int {
    get throws(OpenCLError) {
      let device = program.context.device
      return Int(
        clamping: try Query(call: "clGetKernelWorkGroupInfo", device: device.name).value(
          "CL_KERNEL_LOCAL_MEM_SIZE of kernel \(name)", cl_ulong(0)
        ) { room, place, length in
          clGetKernelWorkGroupInfo(
            handle.raw, device.handle.raw, cl_kernel_work_group_info(CL_KERNEL_LOCAL_MEM_SIZE), room, place, length)
        })
    }
  }
}

/// What does not change with a kernel's arguments.
private struct KernelFacts {
  let workGroupSize: Int
  let preferredMultiple: Int
  let privateMemory: Int
  let requiredSize: [Int]?

  init(_ raw: cl_kernel, name: String, device: Device) throws(OpenCLError) {
    let query = Query(call: "clGetKernelWorkGroupInfo", device: device.name)
    func function(_ property: Int32) -> InfoFunction {
      { room, place, length in
        clGetKernelWorkGroupInfo(
          raw, device.handle.raw, cl_kernel_work_group_info(property), room, place, length)
      }
    }
    workGroupSize = try query.value(
      "CL_KERNEL_WORK_GROUP_SIZE of kernel \(name)", 0, function(CL_KERNEL_WORK_GROUP_SIZE))
    preferredMultiple = try query.value(
      "CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE of kernel \(name)", 0,
      function(CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE))
    privateMemory = Int(
      clamping: try query.value(
        "CL_KERNEL_PRIVATE_MEM_SIZE of kernel \(name)", cl_ulong(0), function(CL_KERNEL_PRIVATE_MEM_SIZE)))
    let size = try query.list(
      "CL_KERNEL_COMPILE_WORK_GROUP_SIZE of kernel \(name)", 0, function(CL_KERNEL_COMPILE_WORK_GROUP_SIZE))
    requiredSize = size.contains { $0 != 0 } ? size : nil
  }
}
