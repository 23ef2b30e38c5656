import ArgumentParser
import Attention
import TensorFiles

struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Hold a device to known results.",
    discussion: """
      With files: computes each case and compares with its expected.* tensors. With none: a built-in grid over every \
      feature, against the float64 reference on the CPU and answers known beforehand.
      """)

  @Argument(help: ArgumentHelp("Case files (.safetensors) with expected results.", valueName: "file"))
  var files: [String] = []

  @Flag(help: "Print one JSON object a case.")
  var json = false

  @OptionGroup var device: DeviceOption
  @OptionGroup var kernel: KernelOption

  mutating func run() throws {
    let engine = try device.engine(kernel: kernel.kernel)
    let rows = files.isEmpty ? try builtIn(engine) : files.map { verify($0, on: engine) }
    if json {
      for row in rows { try Console.write(JSON.line(row)) }
    } else {
      var table = Table(["case", "largest error", "bound", "result"], rightAligned: [1, 2], shrinking: 0)
      for row in rows {
        table.add([
          row.name, row.error.value.map(Quantity.scientific) ?? "", row.bound.map(Quantity.scientific) ?? "",
          row.message.map { "\(row.result): \($0)" } ?? row.result.rawValue,
        ])
      }
      try Console.write(table.text())
    }
    try conclude(rows, engine)
  }

  private func conclude(_ rows: [VerifyRow], _ engine: AttentionEngine) throws {
    let passed = rows.count { $0.result == .passed }
    let names = engine.activeDevices.map { "\($0.identifier) (\($0.name))" }.joined(separator: ", ")
    let summary = "\(passed) of \(rows.count) cases passed on \(names)"
    // With --json, stdout holds an object a case and nothing else.
    if json { Console.complain([summary]) } else { try Console.write(summary) }
    if let worst = rows.filter({ $0.result != .passed }).map(\.status).max() { throw Failure(worst) }
  }

  private func builtIn(_ engine: AttentionEngine) throws -> [VerifyRow] {
    let progress = ProgressLine()
    defer { progress.clear() }
    let cases = try SelfCheck.cases()
    return cases.enumerated().map { index, check in
      progress.show("\(index + 1) of \(cases.count): \(check.name)")
      do {
        let outcome = try SelfCheck.run(check, on: engine)
        return VerifyRow(
          name: outcome.name, result: outcome.passed ? .passed : .failed, error: outcome.maximumError,
          bound: outcome.bound, message: nil, status: .checkFailed)
      } catch {
        return VerifyRow(check.name, Failure(error))
      }
    }
  }

  private func verify(_ file: String, on engine: AttentionEngine) -> VerifyRow {
    do {
      let caseFile = try AttentionCaseFile(path: file)
      let checks = caseFile.check(try engine.attention(caseFile.call))
      let held = checks.filter { $0.passed || $0.failed }
      guard !held.isEmpty else {
        return VerifyRow(
          file, Failure(.badInput, "expected tensors named expected.output, expected.log_sum_exp, …, found none"))
      }
      let failed = held.filter(\.failed)
      // The one that failed, or came nearest to failing.
      let worst = (failed.isEmpty ? held : failed).max { ($0.share, $0.name) < ($1.share, $1.name) }
      return VerifyRow(
        name: file, result: failed.isEmpty ? .passed : .failed, error: worst?.maximumError, bound: worst?.bound,
        message: failed.isEmpty ? nil : failed.map(\.complaint).joined(separator: "; "), status: .checkFailed)
    } catch {
      return VerifyRow(file, Failure(error))
    }
  }
}

private struct VerifyRow: Encodable {
  enum Outcome: String, Encodable {
    case passed, failed, error
  }

  let name: String
  let result: Outcome
  let error: OrNull<Double>
  let bound: Double?
  let message: String?
  let status: ExitStatus

  enum CodingKeys: String, CodingKey {
    case name = "case"
    case result
    case error = "max_abs_error"
    case bound, message
  }

  init(name: String, result: Outcome, error: Double?, bound: Double?, message: String?, status: ExitStatus) {
    self.name = name
    self.result = result
    self.error = OrNull(error)
    self.bound = bound
    self.message = message
    self.status = status
  }

  /// A case that could not be computed. Errors in a file begin with its name, which the row has already.
  init(_ name: String, _ failure: Failure) {
    let message = failure.messages.joined(separator: "; ").split(separator: "\n").first.map(String.init) ?? "failed"
    let prefix = name + ": "
    self.init(
      name: name, result: .error, error: nil, bound: nil,
      message: message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : message, status: failure.status)
  }
}

extension CaseCheck {
  /// How much of the bound the error takes.
  fileprivate var share: Double {
    guard let maximumError, let bound, bound > 0 else { return failed ? .infinity : 0 }
    return maximumError / bound
  }

  fileprivate var complaint: String {
    if case .failed(let reason) = outcome { return "\(name): \(reason)" }
    return name
  }
}
