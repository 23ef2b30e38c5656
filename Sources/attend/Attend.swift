import ArgumentParser
import Foundation

@main
struct Attend: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "attend",
    abstract: "Multi-head attention on OpenCL devices and the CPU.",
    discussion: """
      Exit status: 0 success, 1 a check failed, 2 wrong usage or bad input, 3 no device can do it.
      ATTENTION_DEVICE sets the default of --device; ATTENTION_CACHE=off keeps no compiled kernels on disk; \
      ATTENTION_TUNING=off leaves out of account what 'attend tune' found.
      """,
    version: "attend \(version)",
    subcommands: [
      Devices.self, Run.self, Verify.self, Bench.self, Plan.self, Tune.self, Fetch.self, Explain.self, Embed.self,
      Search.self, Generate.self,
    ])

  static let version = "0.1.0"

  /// Runs a command and leaves with the status that the contract gives to what happened: the only place that exits.
  static func main() {
    // What is read by nobody is not worth a crash report: a closed pipe ends the program quietly.
    signal(SIGPIPE, SIG_DFL)
    PoCLThreads.keepApart()
    do {
      try parseAndRun()
    } catch {
      let failure = Failure(error)
      for message in failure.messages { Console.note(failure.prefix + message) }
      Foundation.exit(failure.status.rawValue)
    }
  }

  private static func parseAndRun() throws {
    do {
      try checkHelp(Array(CommandLine.arguments.dropFirst()))
      var command = try parseAsRoot()
      try command.run()
    } catch let error where exitCode(for: error).isSuccess {
      // --help and --version.
      try Console.write(fullMessage(for: error))
    } catch let error where exitCode(for: error) == .validationFailure {
      throw Failure(usage: fullMessage(for: error))
    }
  }

  /// Help on a command that there is not: the parser would show that of the program.
  private static func checkHelp(_ arguments: [String]) throws {
    guard arguments.first == "help", let name = arguments.dropFirst().first(where: { !$0.hasPrefix("-") }) else {
      return
    }
    let names = configuration.subcommands.map { $0._commandName } + ["help"]
    guard names.contains(name) else {
      throw ValidationError("expected a command, one of \(names.joined(separator: ", ")), found '\(name)'.")
    }
  }
}
