internal import COpenCL
import Synchronization

/// OpenCL C, built for a context's device.
///
/// Sendable without being checked: OpenCL's functions on programs may be called from any thread and nothing here
/// changes.
public final class Program: @unchecked Sendable {
  /// The context it was built for.
  public let context: Context

  /// Whether the driver's binary was found on disk, so that nothing was compiled from source.
  public let builtFromCache: Bool

  /// How long the build took, in seconds.
  public let buildSeconds: Double

  /// What the compiler had to say; nil if nothing.
  public let log: String?

  let handle: Handle<HandleKind.Program>

  /// Builds files of Kernels/, one after the other, and then a text, or takes them from the context's cache.
  ///
  /// - Parameters:
  ///   - sources: names without ".cl", in the order in which the compiler is to see them.
  ///   - text: OpenCL C that follows them; messages call it "text.cl".
  ///   - options: of the compiler, such as "-D TILE=8 -cl-mad-enable".
  /// - Throws: `OpenCLError`; `isBuildFailure` with the compiler's log if the program does not compile,
  ///   `.invalidValue` if there is no source of a name or nothing to build.
  public convenience init(
    _ context: Context, sources: [String], text: String? = nil, options: String = ""
  ) throws(OpenCLError) {
    try self.init(context, sources: sources, text: text, options: options, cache: context.programCache)
  }

  /// As ``init(_:sources:text:options:)``, with a cache of its own.
  public init(
    _ context: Context, sources: [String], text: String? = nil, options: String = "", cache: ProgramCache
  ) throws(OpenCLError) {
    var parts: [UnsafePointer<attention_source>?] = []
    for name in sources {
      guard let part = attention_source_named(name) else {
        throw OpenCLError(
          call: "clCreateProgramWithSource", status: .invalidValue, device: context.device.name,
          detail: "there is no source '\(name)'; there are: \(KernelSource.names.joined(separator: ", "))")
      }
      parts.append(part)
    }
    guard !sources.isEmpty || text != nil else {
      throw OpenCLError(
        call: "clCreateProgramWithSource", status: .invalidValue, device: context.device.name, detail: "no source")
    }

    let start = ContinuousClock.now
    let device = context.device
    let directory = cache.path
    let build = withOptionalCString(text) { text in
      withOptionalCString(directory) { directory in
        attention_program_build(context.handle.raw, device.handle.raw, parts, parts.count, text, options, directory)
      }
    }
    let elapsed = ContinuousClock.now - start
    let log = build.log.map { String(cString: $0) }
    attention_log_free(build.log)

    guard let raw = build.program else {
      throw OpenCLError(
        call: build.call.map { String(cString: $0) } ?? "clBuildProgram", status: OpenCLStatus(rawValue: build.status),
        device: device.name,
        detail: "\((sources + (text == nil ? [] : ["text"])).joined(separator: " + ")), options '\(options)'", log: log)
    }
    self.context = context
    self.builtFromCache = build.from_cache
    let seconds = elapsed / .seconds(1)
    self.buildSeconds = seconds
    Self.secondsBuilding.withLock { $0 += seconds }
    self.log = log
    self.handle = Handle(raw: raw)
  }

  deinit {
    clReleaseProgram(handle.raw)
  }

  private static let secondsBuilding = Mutex(0.0)

  /// How long this process has spent on programs that it built or loaded from a cache, in seconds, for all devices.
  public static var totalBuildSeconds: Double { secondsBuilding.withLock { $0 } }

  /// How many times this process has called the compiler on source text, for any device.
  public static var sourceBuildCount: Int { Int(clamping: attention_source_build_count()) }
}

/// A C string for the time of a call, or NULL.
private func withOptionalCString<Result>(_ string: String?, _ body: (UnsafePointer<CChar>?) -> Result) -> Result {
  guard let string else { return body(nil) }
  return string.withCString { body($0) }
}
