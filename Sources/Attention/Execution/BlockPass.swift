import OpenCL

/// A block of heads that is on its way through a device: what its kernels work on.
struct BlockContents {
  let mask: Tensor?
  let problem: AttentionProblem
  let block: DevicePlan.Block
  /// One a head, offsets into `buffers`; on the device in `buffers.heads`, where kernels read them there.
  let records: [HeadRecord]
  /// Where each distinct plane of the mask begins in its tensor, in the order of the planes on the device.
  let maskPlanes: [Int]
  let queues: DeviceQueues
  let buffers: BlockBuffers
  /// What follows a slice's log-sum-exp, where it is asked for.
  let insight: InsightPass?
}

/// A block's operands and results on the device.
struct BlockBuffers {
  let all: [Buffer]
  /// The caller's keys and values, where they are read as they stand.
  var inPlace: (key: Buffer, value: Buffer)?
  var heads: Buffer { all[0] }
  var query: Buffer { all[1] }
  var key: Buffer { inPlace?.key ?? all[2] }
  var value: Buffer { inPlace?.value ?? all[3] }
  var output: Buffer { all[4] }
  var logSumExp: Buffer { all[5] }
  var blockMask: Buffer { all[6] }
}

/// A family of kernels at work on one call: built, with the device memory that the call's blocks use one after the other.
protocol CallKernels: AnyObject {
  /// What is given back when the call is over.
  var scratch: [Buffer] { get }

  /// Whether they read ``BlockBuffers/heads``; others have tables of their own.
  var readsHeads: Bool { get }

  /// Prepares what the kernels need for a block beside its operands.
  func makePass(_ contents: BlockContents) throws -> any BlockPass
}

extension CallKernels {
  var readsHeads: Bool { true }
}

/// The kernels of one block, ready to be sent off.
protocol BlockPass {
  /// Starts the kernels of every slice, and the transfers of weights and scores between them; the event of the last.
  /// May be called again, to compute the block anew.
  func enqueue(after uploaded: Event?, _ results: ResultBuffers) throws -> Event?
}
