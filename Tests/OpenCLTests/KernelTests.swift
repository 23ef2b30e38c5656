import Foundation
import OpenCL
import Testing

extension OnDevices {
  @Suite("Kernel")
  struct KernelTests {
    static let text = """
      kernel void arguments(global long *out, const int i, const uint u, const long l, const float f,
                            local int *scratch, global const int *none) {
        const int me = get_local_id(0);
        scratch[me] = me;
        barrier(CLK_LOCAL_MEM_FENCE);
        if (get_global_id(0) == 0) {
          out[0] = i;
          out[1] = u;
          out[2] = l;
          out[3] = (long)(f * 4);
          out[4] = scratch[get_local_size(0) - 1];
          out[5] = none == 0 ? 1 : 0;
        }
      }
      kernel void slow(global uint *x, const uint rounds) {
        uint state = x[0];
        for (uint n = 0; n < rounds; n++) {
          state ^= state << 13;
          state ^= state >> 17;
          state ^= state << 5;
        }
        x[0] = state;
      }
      kernel __attribute__((reqd_work_group_size(4, 2, 1))) void shaped(global int *out) { out[get_global_id(0)] = 1; }
      """

    /// A program of `text` and a queue on a device.
    static func make(_ device: Device) throws -> (Program, CommandQueue) {
      let context = try Context(device)
      return (try Program(context, sources: [], text: text, cache: .none), try CommandQueue(context))
    }

    @Test("arguments of every type arrive", arguments: devices)
    func arguments(device: Device) throws {
      let (program, queue) = try Self.make(device)
      let kernel = try Kernel(program, "arguments")
      #expect(kernel.argumentCount == 7)
      let out = try Buffer(program.context, byteCount: 48)
      try kernel.setArgument(0, out)
      try kernel.setArgument(1, Int32(-7))
      try kernel.setArgument(2, UInt32.max)
      try kernel.setArgument(3, Int64.min + 1)
      try kernel.setArgument(4, Float(2.25))
      try kernel.setLocalArgument(5, byteCount: 4 * MemoryLayout<Int32>.stride)
      try kernel.setArgument(6, nil)
      try queue.enqueueKernel(kernel, global: [8], local: [4])
      #expect(
        try queue.read(out, zero: Int64(0), count: 6) == [-7, Int64(UInt32.max), Int64.min + 1, 9, 3, 1])
      #expect(try kernel.localMemorySize <= device.info.localMemory)
    }

    @Test("a buffer's host memory lives until the commands that have it are done", arguments: devices)
    func keepsHostMemory(device: Device) throws {
      final class Storage {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
        deinit { bytes.deallocate() }
      }
      let (program, queue) = try Self.make(device)
      weak var seen: Storage?
      func start() throws -> Event {
        let storage = Storage()
        seen = storage
        storage.bytes.initializeMemory(as: UInt32.self, repeating: 1)
        let kernel = try Kernel(program, "slow")
        try kernel.setArgument(0, try Buffer(program.context, using: storage.bytes, owner: storage))
        try kernel.setArgument(1, UInt32(200_000_000))
        let event = try queue.enqueueKernel(kernel, global: [1])
        try queue.flush()
        return event
      }
      do {
        let event = try start()
        let isKept = seen != nil
        // (A device that is done by now says nothing.)
        if try !event.isComplete { #expect(isKept) }
        try event.wait()
      }
      try queue.finish()
      // It is given back by a thread of the driver.
      for _ in 0..<1000 where seen != nil { usleep(1000) }
      #expect(seen == nil)
    }

    @Test("a buffer lives as long as it is an argument", arguments: devices)
    func keepsBuffers(device: Device) throws {
      let program = try Program(Context(device), sources: [], text: addition, cache: .none)
      let kernel = try Kernel(program, "add")
      weak var seen: Buffer?
      do {
        let buffer = try Buffer(program.context, byteCount: 64)
        seen = buffer
        try kernel.setArgument(0, buffer)
      }
      #expect(seen != nil)
      try kernel.setArgument(0, nil)
      #expect(seen == nil)
    }

    @Test("facts are plausible", arguments: devices)
    func facts(device: Device) throws {
      let (program, _) = try Self.make(device)
      let kernel = try Kernel(program, "arguments")
      #expect((1...device.info.maxWorkGroupSize).contains(kernel.workGroupSize))
      #expect(kernel.preferredWorkGroupSizeMultiple >= 1)
      #expect(kernel.privateMemorySize >= 0)
      #expect(kernel.requiredWorkGroupSize == nil)
      #expect(try Kernel(program, "shaped").requiredWorkGroupSize == [4, 2, 1])
    }

    @Test("work-groups larger than a kernel's own limit are the driver's affair", arguments: devices)
    func kernelLimit(device: Device) throws {
      let (program, queue) = try Self.make(device)
      let kernel = try Kernel(program, "arguments")
      let local = min(64, device.info.maxWorkGroupSize)
      let out = try Buffer(program.context, byteCount: 48)
      try kernel.setArgument(0, out)
      try kernel.setArgument(1, Int32(0))
      try kernel.setArgument(2, UInt32(0))
      try kernel.setArgument(3, Int64(0))
      try kernel.setArgument(4, Float(0))
      try kernel.setLocalArgument(5, byteCount: local * MemoryLayout<Int32>.stride)
      try kernel.setArgument(6, nil)
      try queue.enqueueKernel(kernel, global: [local * 2], local: [local])
      #expect(try queue.read(out, at: 32, zero: Int64(0), count: 1) == [Int64(local - 1)])
    }

    @Test("an unknown kernel is named", arguments: devices)
    func unknownKernel(device: Device) throws {
      let (program, _) = try Self.make(device)
      let failure = error { _ = try Kernel(program, "no_such") }
      #expect(failure?.status == .invalidKernelName)
      #expect(failure?.detail == "kernel no_such")
      #expect(failure?.device == device.name)
    }

    @Test("wrong arguments are refused by name", arguments: devices)
    func wrongArguments(device: Device) throws {
      let (program, _) = try Self.make(device)
      let kernel = try Kernel(program, "arguments")
      let index = error { try kernel.setArgument(7, Int32(1)) }
      #expect(index?.status == .invalidArgIndex)
      #expect(index?.detail == "kernel arguments, argument 7 of 7: Int32 1")
      #expect(error { try kernel.setArgument(-1, Int32(1)) }?.status == .invalidArgIndex)
      #expect(error { try kernel.setArgument(1, Int64(1)) }?.status == .invalidArgSize)
      #expect(error { try kernel.setLocalArgument(5, byteCount: 0) }?.status == .invalidArgSize)
      #expect(error { try kernel.setLocalArgument(5, byteCount: .max) }?.status == .invalidArgSize)
      let other = try Buffer(Context(device), byteCount: 4)
      #expect(error { try kernel.setArgument(0, other) }?.status == .invalidContext)
    }

    @Test("arguments that were not set are an error", arguments: devices)
    func unsetArguments(device: Device) throws {
      let (program, queue) = try Self.make(device)
      let kernel = try Kernel(program, "arguments")
      let failure = error { try queue.enqueueKernel(kernel, global: [1]).wait() }
      #expect(failure?.status == .invalidKernelArgs)
      #expect(failure?.detail?.contains("kernel arguments, global [1]") == true)
    }

    @Test("sizes that cannot be are refused", arguments: devices)
    func wrongSizes(device: Device) throws {
      let (program, queue) = try Self.make(device)
      let kernel = try Kernel(program, "shaped")
      try kernel.setArgument(0, try Buffer(program.context, byteCount: 4096))
      func status(_ global: [Int], _ local: [Int]) -> OpenCLStatus? {
        error { try queue.enqueueKernel(kernel, global: global, local: local) }?.status
      }
      #expect(status([], []) == .invalidWorkDimension)
      #expect(status([4, 4, 4, 4], []) == .invalidWorkDimension)
      #expect(status([4, 2], [4]) == .invalidWorkDimension)
      #expect(status([0, 2], [4, 2]) == .invalidGlobalWorkSize)
      #expect(status([-4, 2], [4, 2]) == .invalidGlobalWorkSize)
      #expect(status([6, 2], [4, 2]) == .invalidWorkGroupSize)
      #expect(status([4, 2], [0, 2]) == .invalidWorkGroupSize)
      #expect(status([.max, .max], [.max, .max]) == .invalidWorkItemSize)
      let limit = device.info.maxWorkGroupSize
      let tooMany = device.info.maxWorkItemSizes.prefix(3).map { min($0, limit) }
      if tooMany.reduce(1, *) > limit { #expect(status(tooMany, tooMany) == .invalidWorkGroupSize) }
      // The shape that the source demands.
      #expect(status([8, 1], [8, 1]) == .invalidWorkGroupSize)
      try queue.enqueueKernel(kernel, global: [8, 2, 1], local: [4, 2, 1]).wait()
    }
  }
}
