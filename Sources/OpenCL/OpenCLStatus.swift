/// What an OpenCL call answered: zero for success, a negative number for an error.
///
/// A status is a number, not a closed list: drivers answer numbers of their own, and those are carried as they are.
public struct OpenCLStatus: RawRepresentable, Hashable, Sendable {
  /// The number OpenCL uses.
  public let rawValue: Int32

  /// A status of any number, known or not.
  public init(rawValue: Int32) {
    self.rawValue = rawValue
  }

  /// Whether the call succeeded.
  public var isSuccess: Bool { rawValue == 0 }
}

// MARK: - Names

extension OpenCLStatus {
  /// `CL_SUCCESS`: the call succeeded.
  public static let success = OpenCLStatus(rawValue: 0)
  /// `CL_DEVICE_NOT_FOUND`: the platform has no device of the kind asked for.
  public static let deviceNotFound = OpenCLStatus(rawValue: -1)
  /// `CL_DEVICE_NOT_AVAILABLE`: the device exists but cannot be used now.
  public static let deviceNotAvailable = OpenCLStatus(rawValue: -2)
  /// `CL_COMPILER_NOT_AVAILABLE`: the device comes without a compiler for source text.
  public static let compilerNotAvailable = OpenCLStatus(rawValue: -3)
  /// `CL_MEM_OBJECT_ALLOCATION_FAILURE`: device memory for a buffer could not be had.
  public static let memObjectAllocationFailure = OpenCLStatus(rawValue: -4)
  /// `CL_OUT_OF_RESOURCES`: the device ran out of registers, memory or another resource.
  public static let outOfResources = OpenCLStatus(rawValue: -5)
  /// `CL_OUT_OF_HOST_MEMORY`: the driver could not get host memory.
  public static let outOfHostMemory = OpenCLStatus(rawValue: -6)
  /// `CL_PROFILING_INFO_NOT_AVAILABLE`: the queue keeps no times, or the command is not complete.
  public static let profilingInfoNotAvailable = OpenCLStatus(rawValue: -7)
  /// `CL_MEM_COPY_OVERLAP`: source and destination of a copy overlap.
  public static let memCopyOverlap = OpenCLStatus(rawValue: -8)
  /// `CL_IMAGE_FORMAT_MISMATCH`: two images of a copy differ in format.
  public static let imageFormatMismatch = OpenCLStatus(rawValue: -9)
  /// `CL_IMAGE_FORMAT_NOT_SUPPORTED`: the image format is not supported.
  public static let imageFormatNotSupported = OpenCLStatus(rawValue: -10)
  /// `CL_BUILD_PROGRAM_FAILURE`: the program did not compile; the log says why.
  public static let buildProgramFailure = OpenCLStatus(rawValue: -11)
  /// `CL_MAP_FAILURE`: a region could not be mapped into host memory.
  public static let mapFailure = OpenCLStatus(rawValue: -12)
  /// `CL_MISALIGNED_SUB_BUFFER_OFFSET`: a sub-buffer's offset is not aligned for the device.
  public static let misalignedSubBufferOffset = OpenCLStatus(rawValue: -13)
  /// `CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST`: a command that was waited for failed.
  public static let execStatusErrorForEventsInWaitList = OpenCLStatus(rawValue: -14)
  /// `CL_COMPILE_PROGRAM_FAILURE`: the source did not compile.
  public static let compileProgramFailure = OpenCLStatus(rawValue: -15)
  /// `CL_LINKER_NOT_AVAILABLE`: the device comes without a linker.
  public static let linkerNotAvailable = OpenCLStatus(rawValue: -16)
  /// `CL_LINK_PROGRAM_FAILURE`: the program did not link.
  public static let linkProgramFailure = OpenCLStatus(rawValue: -17)
  /// `CL_DEVICE_PARTITION_FAILED`: the device could not be partitioned.
  public static let devicePartitionFailed = OpenCLStatus(rawValue: -18)
  /// `CL_KERNEL_ARG_INFO_NOT_AVAILABLE`: the program was built without information about arguments.
  public static let kernelArgInfoNotAvailable = OpenCLStatus(rawValue: -19)
  /// `CL_INVALID_VALUE`: an argument of the call is not valid.
  public static let invalidValue = OpenCLStatus(rawValue: -30)
  /// `CL_INVALID_DEVICE_TYPE`: the kind of device is not valid.
  public static let invalidDeviceType = OpenCLStatus(rawValue: -31)
  /// `CL_INVALID_PLATFORM`: the platform is not valid.
  public static let invalidPlatform = OpenCLStatus(rawValue: -32)
  /// `CL_INVALID_DEVICE`: the device is not valid, or not one of the context's.
  public static let invalidDevice = OpenCLStatus(rawValue: -33)
  /// `CL_INVALID_CONTEXT`: the context is not valid, or two objects belong to different ones.
  public static let invalidContext = OpenCLStatus(rawValue: -34)
  /// `CL_INVALID_QUEUE_PROPERTIES`: the device does not support the queue's properties.
  public static let invalidQueueProperties = OpenCLStatus(rawValue: -35)
  /// `CL_INVALID_COMMAND_QUEUE`: the command queue is not valid.
  public static let invalidCommandQueue = OpenCLStatus(rawValue: -36)
  /// `CL_INVALID_HOST_PTR`: the host pointer does not go with the flags.
  public static let invalidHostPtr = OpenCLStatus(rawValue: -37)
  /// `CL_INVALID_MEM_OBJECT`: the buffer or image is not valid.
  public static let invalidMemObject = OpenCLStatus(rawValue: -38)
  /// `CL_INVALID_IMAGE_FORMAT_DESCRIPTOR`: the image format descriptor is not valid.
  public static let invalidImageFormatDescriptor = OpenCLStatus(rawValue: -39)
  /// `CL_INVALID_IMAGE_SIZE`: the image is larger than the device supports.
  public static let invalidImageSize = OpenCLStatus(rawValue: -40)
  /// `CL_INVALID_SAMPLER`: the sampler is not valid.
  public static let invalidSampler = OpenCLStatus(rawValue: -41)
  /// `CL_INVALID_BINARY`: the driver does not accept the program binary.
  public static let invalidBinary = OpenCLStatus(rawValue: -42)
  /// `CL_INVALID_BUILD_OPTIONS`: the compiler does not know an option.
  public static let invalidBuildOptions = OpenCLStatus(rawValue: -43)
  /// `CL_INVALID_PROGRAM`: the program is not valid.
  public static let invalidProgram = OpenCLStatus(rawValue: -44)
  /// `CL_INVALID_PROGRAM_EXECUTABLE`: the program was not built for the device.
  public static let invalidProgramExecutable = OpenCLStatus(rawValue: -45)
  /// `CL_INVALID_KERNEL_NAME`: the program has no kernel of that name.
  public static let invalidKernelName = OpenCLStatus(rawValue: -46)
  /// `CL_INVALID_KERNEL_DEFINITION`: the kernel's signature differs between devices.
  public static let invalidKernelDefinition = OpenCLStatus(rawValue: -47)
  /// `CL_INVALID_KERNEL`: the kernel is not valid.
  public static let invalidKernel = OpenCLStatus(rawValue: -48)
  /// `CL_INVALID_ARG_INDEX`: the kernel has no argument at that index.
  public static let invalidArgIndex = OpenCLStatus(rawValue: -49)
  /// `CL_INVALID_ARG_VALUE`: the argument's value does not go with its declaration.
  public static let invalidArgValue = OpenCLStatus(rawValue: -50)
  /// `CL_INVALID_ARG_SIZE`: the argument's size does not match its type.
  public static let invalidArgSize = OpenCLStatus(rawValue: -51)
  /// `CL_INVALID_KERNEL_ARGS`: not every argument of the kernel was set.
  public static let invalidKernelArgs = OpenCLStatus(rawValue: -52)
  /// `CL_INVALID_WORK_DIMENSION`: the number of dimensions is not 1, 2 or 3.
  public static let invalidWorkDimension = OpenCLStatus(rawValue: -53)
  /// `CL_INVALID_WORK_GROUP_SIZE`: the work-group does not fit the device, the kernel or the global size.
  public static let invalidWorkGroupSize = OpenCLStatus(rawValue: -54)
  /// `CL_INVALID_WORK_ITEM_SIZE`: a work-group is too long along one dimension.
  public static let invalidWorkItemSize = OpenCLStatus(rawValue: -55)
  /// `CL_INVALID_GLOBAL_OFFSET`: the global offset is not valid.
  public static let invalidGlobalOffset = OpenCLStatus(rawValue: -56)
  /// `CL_INVALID_EVENT_WAIT_LIST`: the wait list is not valid.
  public static let invalidEventWaitList = OpenCLStatus(rawValue: -57)
  /// `CL_INVALID_EVENT`: the event is not valid.
  public static let invalidEvent = OpenCLStatus(rawValue: -58)
  /// `CL_INVALID_OPERATION`: the call is not valid for this object in its state.
  public static let invalidOperation = OpenCLStatus(rawValue: -59)
  /// `CL_INVALID_GL_OBJECT`: the OpenGL object is not valid.
  public static let invalidGLObject = OpenCLStatus(rawValue: -60)
  /// `CL_INVALID_BUFFER_SIZE`: the buffer is empty or larger than one allocation may be.
  public static let invalidBufferSize = OpenCLStatus(rawValue: -61)
  /// `CL_INVALID_MIP_LEVEL`: the mip level is not valid.
  public static let invalidMipLevel = OpenCLStatus(rawValue: -62)
  /// `CL_INVALID_GLOBAL_WORK_SIZE`: a global size is zero or too large for the device.
  public static let invalidGlobalWorkSize = OpenCLStatus(rawValue: -63)
  /// `CL_INVALID_PROPERTY`: a property is not valid.
  public static let invalidProperty = OpenCLStatus(rawValue: -64)
  /// `CL_INVALID_IMAGE_DESCRIPTOR`: the image descriptor is not valid.
  public static let invalidImageDescriptor = OpenCLStatus(rawValue: -65)
  /// `CL_INVALID_COMPILER_OPTIONS`: the compiler does not know an option.
  public static let invalidCompilerOptions = OpenCLStatus(rawValue: -66)
  /// `CL_INVALID_LINKER_OPTIONS`: the linker does not know an option.
  public static let invalidLinkerOptions = OpenCLStatus(rawValue: -67)
  /// `CL_INVALID_DEVICE_PARTITION_COUNT`: the device cannot be partitioned that way.
  public static let invalidDevicePartitionCount = OpenCLStatus(rawValue: -68)
  /// `CL_INVALID_PIPE_SIZE`: the pipe's size is not valid.
  public static let invalidPipeSize = OpenCLStatus(rawValue: -69)
  /// `CL_INVALID_DEVICE_QUEUE`: the device queue is not valid.
  public static let invalidDeviceQueue = OpenCLStatus(rawValue: -70)
  /// `CL_INVALID_SPEC_ID`: the program has no specialization constant of that number.
  public static let invalidSpecID = OpenCLStatus(rawValue: -71)
  /// `CL_MAX_SIZE_RESTRICTION_EXCEEDED`: an argument is larger than its declaration allows.
  public static let maxSizeRestrictionExceeded = OpenCLStatus(rawValue: -72)
  /// `CL_PLATFORM_NOT_FOUND_KHR`: the loader found no OpenCL driver.
  public static let platformNotFound = OpenCLStatus(rawValue: -1001)
}

extension OpenCLStatus: CustomStringConvertible {
  /// The symbol of the OpenCL headers, such as "CL_OUT_OF_RESOURCES"; "CL error -4242" for a number they do not have.
  public var description: String {
    Self.symbols[rawValue] ?? "CL error \(rawValue)"
  }

  /// The symbols of the OpenCL headers, 1.2 and later, and of the loader.
  package static let symbols: [Int32: String] = [
    0: "CL_SUCCESS",
    -1: "CL_DEVICE_NOT_FOUND",
    -2: "CL_DEVICE_NOT_AVAILABLE",
    -3: "CL_COMPILER_NOT_AVAILABLE",
    -4: "CL_MEM_OBJECT_ALLOCATION_FAILURE",
    -5: "CL_OUT_OF_RESOURCES",
    -6: "CL_OUT_OF_HOST_MEMORY",
    -7: "CL_PROFILING_INFO_NOT_AVAILABLE",
    -8: "CL_MEM_COPY_OVERLAP",
    -9: "CL_IMAGE_FORMAT_MISMATCH",
    -10: "CL_IMAGE_FORMAT_NOT_SUPPORTED",
    -11: "CL_BUILD_PROGRAM_FAILURE",
    -12: "CL_MAP_FAILURE",
    -13: "CL_MISALIGNED_SUB_BUFFER_OFFSET",
    -14: "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST",
    -15: "CL_COMPILE_PROGRAM_FAILURE",
    -16: "CL_LINKER_NOT_AVAILABLE",
    -17: "CL_LINK_PROGRAM_FAILURE",
    -18: "CL_DEVICE_PARTITION_FAILED",
    -19: "CL_KERNEL_ARG_INFO_NOT_AVAILABLE",
    -30: "CL_INVALID_VALUE",
    -31: "CL_INVALID_DEVICE_TYPE",
    -32: "CL_INVALID_PLATFORM",
    -33: "CL_INVALID_DEVICE",
    -34: "CL_INVALID_CONTEXT",
    -35: "CL_INVALID_QUEUE_PROPERTIES",
    -36: "CL_INVALID_COMMAND_QUEUE",
    -37: "CL_INVALID_HOST_PTR",
    -38: "CL_INVALID_MEM_OBJECT",
    -39: "CL_INVALID_IMAGE_FORMAT_DESCRIPTOR",
    -40: "CL_INVALID_IMAGE_SIZE",
    -41: "CL_INVALID_SAMPLER",
    -42: "CL_INVALID_BINARY",
    -43: "CL_INVALID_BUILD_OPTIONS",
    -44: "CL_INVALID_PROGRAM",
    -45: "CL_INVALID_PROGRAM_EXECUTABLE",
    -46: "CL_INVALID_KERNEL_NAME",
    -47: "CL_INVALID_KERNEL_DEFINITION",
    -48: "CL_INVALID_KERNEL",
    -49: "CL_INVALID_ARG_INDEX",
    -50: "CL_INVALID_ARG_VALUE",
    -51: "CL_INVALID_ARG_SIZE",
    -52: "CL_INVALID_KERNEL_ARGS",
    -53: "CL_INVALID_WORK_DIMENSION",
    -54: "CL_INVALID_WORK_GROUP_SIZE",
    -55: "CL_INVALID_WORK_ITEM_SIZE",
    -56: "CL_INVALID_GLOBAL_OFFSET",
    -57: "CL_INVALID_EVENT_WAIT_LIST",
    -58: "CL_INVALID_EVENT",
    -59: "CL_INVALID_OPERATION",
    -60: "CL_INVALID_GL_OBJECT",
    -61: "CL_INVALID_BUFFER_SIZE",
    -62: "CL_INVALID_MIP_LEVEL",
    -63: "CL_INVALID_GLOBAL_WORK_SIZE",
    -64: "CL_INVALID_PROPERTY",
    -65: "CL_INVALID_IMAGE_DESCRIPTOR",
    -66: "CL_INVALID_COMPILER_OPTIONS",
    -67: "CL_INVALID_LINKER_OPTIONS",
    -68: "CL_INVALID_DEVICE_PARTITION_COUNT",
    -69: "CL_INVALID_PIPE_SIZE",
    -70: "CL_INVALID_DEVICE_QUEUE",
    -71: "CL_INVALID_SPEC_ID",
    -72: "CL_MAX_SIZE_RESTRICTION_EXCEEDED",
    -1001: "CL_PLATFORM_NOT_FOUND_KHR",
  ]
}
