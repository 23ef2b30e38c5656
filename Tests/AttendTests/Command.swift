import Foundation
import Testing

/// The built `attend`, run as a process.
struct Command {
  let status: Int32
  let output: String
  let errors: String

  /// The program stands beside the test runner, in the folder of the build's products.
  private static var executable: URL? {
    let runner = URL(filePath: CommandLine.arguments.first ?? "").resolvingSymlinksInPath()
    let folders = [
      Bundle.main.bundleURL, Bundle.main.bundleURL.deletingLastPathComponent(), runner.deletingLastPathComponent(),
    ]
    return folders.map { $0.appending(path: "attend") }.first { FileManager.default.isExecutableFile(atPath: $0.path) }
  }

  struct NotBuilt: Error {}

  /// The lines of stdout.
  var lines: [String] { output.split(separator: "\n").map(String.init) }

  /// - Parameters:
  ///   - environment: Added to that of the tests; nil removes a variable.
  ///   - outputPath: Where stdout goes instead of ``output``.
  init(_ arguments: [String], environment: [String: String?] = [:], directory: URL? = nil, outputPath: String? = nil)
    throws
  {
    let process = Process()
    guard let executable = Self.executable else { throw NotBuilt() }
    process.executableURL = executable
    process.arguments = arguments
    var variables = ProcessInfo.processInfo.environment
    // What the person who runs the tests has set must not decide them.
    variables["ATTENTION_DEVICE"] = nil
    variables["ATTENTION_TUNING"] = "off"
    for (name, value) in environment { variables[name] = value }
    process.environment = variables
    if let directory { process.currentDirectoryURL = directory }
    let folder = try TemporaryFolder()
    let (outputFile, errorFile) = (folder["stdout"], folder["stderr"])
    try Data().write(to: outputFile)
    try Data().write(to: errorFile)
    // Files, not pipes: neither can fill up and stop the process.
    process.standardOutput = try FileHandle(forWritingTo: outputPath.map { URL(filePath: $0) } ?? outputFile)
    process.standardError = try FileHandle(forWritingTo: errorFile)
    try process.run()
    process.waitUntilExit()
    status = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    output = String(decoding: try Data(contentsOf: outputFile), as: UTF8.self)
    errors = String(decoding: try Data(contentsOf: errorFile), as: UTF8.self)
  }
}
