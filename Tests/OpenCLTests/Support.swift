import Foundation
import OpenCL
import Testing

/// The devices every device test runs on. What cannot be listed shows in the discovery tests.
let devices = (try? Device.all()) ?? []

/// Why a device test does not run.
let noDevice: Comment = "this machine has no OpenCL device"

/// Everything that runs on devices, one test at a time: the drivers use all processors themselves.
@Suite("On devices", .serialized, .enabled(if: !devices.isEmpty, noDevice))
enum OnDevices {}

/// The error a body throws; nil, and a recorded issue, if it throws none.
func error(
  sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) -> OpenCLError? {
  #expect(throws: OpenCLError.self, sourceLocation: sourceLocation, performing: body)
}

/// A directory that is removed with the object.
final class TemporaryDirectory {
  let url: URL
  var path: String { url.path }

  init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "swift-attention-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(
      at: url, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
  }

  deinit {
    try? FileManager.default.removeItem(at: url)
  }

  /// The names in it, hidden ones too, sorted.
  func names(in folder: String = "") throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: url.appending(path: folder).path).sorted()
  }
}

/// Adds two vectors; `count` keeps the surplus work-items of the last work-group away.
let addition = """
  kernel void add(global const float *a, global const float *b, global float *c, const uint count) {
    const uint i = get_global_id(0);
    if (i < count) c[i] = a[i] + b[i];
  }
  """

/// Runs `addition` in a program that has it and returns the sums.
func add(_ a: [Float], _ b: [Float], with program: Program) throws -> [Float] {
  let context = program.context
  let queue = try CommandQueue(context)
  let byteCount = a.count * MemoryLayout<Float>.stride
  let x = try Buffer(context, byteCount: byteCount, access: .readOnly)
  let y = try Buffer(context, byteCount: byteCount, access: .readOnly)
  let z = try Buffer(context, byteCount: byteCount, access: .writeOnly)
  try queue.write(a, to: x)
  try queue.write(b, to: y)
  let kernel = try Kernel(program, "add")
  try kernel.setArgument(0, x)
  try kernel.setArgument(1, y)
  try kernel.setArgument(2, z)
  try kernel.setArgument(3, UInt32(a.count))
  let local = min(kernel.workGroupSize, 64)
  try queue.enqueueKernel(kernel, global: [(a.count + local - 1) / local * local], local: [local])
  return try queue.read(z, zero: Float(0), count: a.count)
}
