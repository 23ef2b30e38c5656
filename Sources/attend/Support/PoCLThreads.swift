import Foundation

/// PoCL, OpenCL on the CPU, has a thread for each processor and leaves it to the system where they run. Woken by one short call after
/// another they are often put on one processor, and a call that all should share takes as long as if it had one.
enum PoCLThreads {
  /// Asks PoCL to keep each thread on a processor of its own. To be called before OpenCL is; `POCL_AFFINITY` set by
  /// the user stays. Where the process may not use every processor nothing is asked: PoCL would bind threads to those too.
  static func keepApart() {
    let processors = ProcessInfo.processInfo
    guard processors.activeProcessorCount == processors.processorCount else { return }
    setenv("POCL_AFFINITY", "1", 0)
  }
}
