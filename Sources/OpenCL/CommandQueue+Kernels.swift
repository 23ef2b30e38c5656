internal import COpenCL

extension CommandQueue {
  /// Executes a kernel with the arguments it has now: later changes of them do not concern this command.
  ///
  /// - Parameters:
  ///   - global: how many work-items along each of one to three dimensions; all above zero.
  ///   - local: the shape of a work-group, as many dimensions; each divides the global size. Empty lets the driver
  ///     choose.
  ///   - events: what must be complete before; from the same context.
  /// - Throws: `OpenCLError` naming the kernel and the sizes: `.invalidWorkDimension`, `.invalidGlobalWorkSize`,
  ///   `.invalidWorkGroupSize` or `.invalidWorkItemSize` if they cannot be, and what the driver answers.
  @discardableResult
  public func enqueueKernel(
    _ kernel: Kernel, global: [Int], local: [Int] = [], waitingFor events: [Event] = []
  ) throws(OpenCLError) -> Event {
    let call = "clEnqueueNDRangeKernel"
    try checkContext(kernel.program.context, call)
    if let status = wrongSizes(of: kernel, global: global, local: local) {
      throw OpenCLError(
        call: call, status: status, device: device.name,
        detail: "\(sizes(of: kernel, global: global, local: local)); at most \(device.info.maxWorkItemSizes) "
          + "and \(device.info.maxWorkGroupSize) in all in a work-group")
    }
    var raw: cl_event?
    let status = withWaitList(events) { count, list in
      global.withUnsafeBufferPointer { global in
        local.withUnsafeBufferPointer { local in
          clEnqueueNDRangeKernel(
            handle.raw, kernel.handle.raw, cl_uint(global.count), nil, global.baseAddress,
            local.isEmpty ? nil : local.baseAddress, count, list, &raw)
        }
      }
    }
    return try event(
      raw, status, call, label: "kernel \(kernel.name)", sizes(of: kernel, global: global, local: local))
  }

  /// The status that says what is wrong with the sizes, or nil if nothing is.
  private func wrongSizes(of kernel: Kernel, global: [Int], local: [Int]) -> OpenCLStatus? {
    guard (1...3).contains(global.count), local.isEmpty || local.count == global.count else {
      return .invalidWorkDimension
    }
    guard global.allSatisfy({ $0 > 0 }) else { return .invalidGlobalWorkSize }
    guard !local.isEmpty else { return nil }
    var items = 1
    for (dimension, size) in local.enumerated() {
      guard size > 0, global[dimension] % size == 0 else { return .invalidWorkGroupSize }
      let limits = device.info.maxWorkItemSizes
      guard dimension >= limits.count || size <= limits[dimension] else { return .invalidWorkItemSize }
      let (product, overflow) = items.multipliedReportingOverflow(by: size)
      guard !overflow else { return .invalidWorkGroupSize }
      items = product
    }
    // The device's limit and not the kernel's: rusticl gives 32 as the latter of kernels that run with more. A driver
    // that means it says so itself.
    return items <= device.info.maxWorkGroupSize ? nil : .invalidWorkGroupSize
  }

  private func sizes(of kernel: Kernel, global: [Int], local: [Int]) -> String {
    "kernel \(kernel.name), global \(global), local \(local.isEmpty ? "the driver's choice" : "\(local)")"
      + ", kernel's limit \(kernel.workGroupSize)"
  }
}
