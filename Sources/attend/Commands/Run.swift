import ArgumentParser
import Attention
import Foundation
import TensorFiles

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compute case files.",
    discussion: """
      Each file is a safetensors file that holds one attention call. Its results go to a file of their own; a file that \
      fails does not stop the others.
      """)

  @Argument(help: ArgumentHelp("Case files (.safetensors).", valueName: "file"))
  var files: [String]

  @Option(name: .shortAndLong, help: ArgumentHelp("Where the results of a single case file go.", valueName: "file"))
  var output: String?

  @Option(
    name: .long, help: ArgumentHelp("Where the results go, each under its case file's name.", valueName: "directory"))
  var outputDirectory: String?

  @Option(
    help: ArgumentHelp(
      "The results to write, in place of those that the files ask for: \(AttentionOutputs.fileNames.joined(separator: ", ")).",
      discussion: "top_keys and top_weights come together.", valueName: "name,…"))
  var outputs: List<OutputName>?

  @Option(
    help: ArgumentHelp(
      "Keys that top_keys lists for each query, 1 to 64, in place of what the files say (8 where they say nothing).",
      valueName: "k"))
  var topK: Int?

  @OptionGroup var device: DeviceOption
  @OptionGroup var kernel: KernelOption

  func validate() throws {
    guard (output == nil) != (outputDirectory == nil) else {
      throw ValidationError("Give either -o FILE or --output-directory DIR.")
    }
    if output != nil, files.count > 1 {
      throw ValidationError("-o FILE takes the results of one case file; for \(files.count), give --output-directory.")
    }
    if let topK, !AttentionCall.topKeyCounts.contains(topK) {
      throw ValidationError("--top-k takes 1 to 64, found \(topK).")
    }
    if topK != nil, let outputs, !outputs.values.contains(where: { $0.option == .topKeys }) {
      throw ValidationError(
        "--top-k: expected top_keys among --outputs, which take the place of what the files ask for.")
    }
    let names = Dictionary(grouping: files) { URL(fileURLWithPath: $0).lastPathComponent }
    if let (name, same) = names.first(where: { $0.value.count > 1 }) {
      throw ValidationError("\(same.joined(separator: " and ")) would both be written to \(name).")
    }
  }

  mutating func run() throws {
    let engine = try device.engine(kernel: kernel.kernel)
    let progress = ProgressLine()
    var worst = ExitStatus.success
    var failed = 0
    if let outputDirectory { try OutputFolder.make(outputDirectory) }
    for (index, file) in files.enumerated() {
      do {
        let target = try target(of: file)
        let caseFile = try AttentionCaseFile(path: file)
        let count = files.count
        let result = try engine.attention(asked(of: caseFile.call)) { fraction in
          progress.show("\(index + 1) of \(count), \(file): \(Int(100 * fraction)) %")
        }
        progress.clear()
        try Safetensors.write(result, to: target)
      } catch {
        progress.clear()
        let failure = Failure(error)
        // Errors in a file name it already; a device does not know for which file it failed.
        Console.complain(failure.messages.map { $0.hasPrefix(file) ? $0 : "\(file): \($0)" })
        worst = max(worst, failure.status)
        failed += 1
      }
    }
    guard worst == .success else {
      throw Failure(worst, "\(failed) of \(files.count) files failed")
    }
  }

  /// The call of a file with the options that were given in place of its own.
  private func asked(of call: AttentionCall) -> AttentionCall {
    var call = call
    if let outputs { call.returning = AttentionOutputs(outputs.values.map(\.option)) }
    if let topK { call.topKeyCount = topK }
    return call
  }

  private func target(of file: String) throws -> String {
    let input = URL(fileURLWithPath: file)
    let target =
      output.map { URL(fileURLWithPath: $0) }
      ?? URL(fileURLWithPath: outputDirectory ?? ".").appendingPathComponent(input.lastPathComponent)
    guard !OutputFolder.areSame(target.path, file) else {
      throw Failure(.badInput, "\(file): expected another file for the results, found the case file itself")
    }
    return target.path
  }
}

/// The name of a result in files.
struct OutputName: ExpressibleByArgument {
  let option: AttentionOutputs

  init?(argument: String) {
    guard let option = AttentionOutputs(fileName: argument) else { return nil }
    self.option = option
  }
}
