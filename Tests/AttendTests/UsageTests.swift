import Foundation
import Testing

@Suite struct UsageTests {
  static let commands = [
    "devices", "run", "verify", "bench", "plan", "tune", "fetch", "explain", "embed", "search", "generate",
  ]

  @Test func helpListsEveryCommand() throws {
    let help = try Command(["--help"])
    #expect(help.status == 0)
    for command in Self.commands { #expect(help.output.contains("  \(command) ")) }
    #expect(help.errors.isEmpty)
  }

  @Test(arguments: commands)
  func everyOptionOfACommandHasAHelpText(command: String) throws {
    let help = try Command([command, "--help"])
    #expect(help.status == 0)
    let options = help.output.split(separator: "\n").drop { !$0.hasPrefix("OPTIONS") }.dropFirst()
    // An option without one would be alone on its line, with the next option below it.
    for (line, next) in zip(options, Array(options.dropFirst()) + ["  end"]) where line.hasPrefix("  -") {
      let text = line.split(separator: "  ", omittingEmptySubsequences: true)
      #expect(text.count > 1 || next.hasPrefix("      "), "no help text: \(line)")
    }
  }

  @Test(
    arguments: [
      ["nonsense"], ["run"], ["run", "a.safetensors"], ["run", "a", "b", "-o", "c"], ["bench", "--dtype", "f64"],
      ["bench", "--heads", "3", "--kv-heads", "2"], ["bench", "--repetitions", "0"], ["plan", "--window", "1"],
      ["plan", "--window=-1,0"], ["plan", "--head-dimension", "0"], ["verify", "--bogus"],
      ["plan", "--query-length", "1,x"], ["run", "x/a", "y/a", "--output-directory", "z"],
      ["plan", "--query-length", "99999999999"], ["plan", "--batch", "1048576", "--query-length", "536870912"],
      ["fetch", "gpt9"], ["explain", "a"],
      ["explain", "a", "--model", "nowhere"], ["explain", "a", "--model", "x", "--head", "1"], ["embed", "a"],
      ["search", "a"], ["search", "a", "--index", "nowhere"], ["search", "a", "b", "--top", "65"],
      ["generate", "a", "--model", "x", "--window", "0"], ["generate", "a", "--model", "x", "--sinks", "4"],
    ])
  func wrongUsageLeavesWithTwoAndSaysWhy(arguments: [String]) throws {
    let command = try Command(arguments)
    #expect(command.status == 2)
    #expect(command.output.isEmpty)
    #expect(!command.errors.isEmpty)
  }

  @Test(arguments: [
    (["--query-length", "1k"], "whole numbers from 0 on"), (["--heads", "-5"], "whole numbers from 0 on"),
    (["--key-lengths", "1,,2"], "whole numbers from 0 on"), (["--window", "-1,0"], "two whole numbers from 0 on"),
    (["--window", "7"], "two whole numbers from 0 on"), (["--dtype", "f64"], "'f32', 'f16' or 'bf16'"),
  ])
  func wrongShapesSayWhatIsRight(options: [String], expected: String) throws {
    for name in ["bench", "plan", "tune"] {
      let command = try Command([name] + options)
      #expect(command.status == 2)
      #expect(command.errors.hasPrefix("Error: The value '\(options[1])' is invalid for '\(options[0]) <"))
      #expect(command.errors.contains(expected))
    }
  }

  @Test func helpOnACommandThatThereIsNotIsWrongUsage() throws {
    let command = try Command(["help", "nope"])
    #expect(command.status == 2)
    #expect(command.output.isEmpty)
    #expect(command.errors.contains("expected a command, one of devices, run, "))
    #expect(command.errors.contains("found 'nope'"))
    for name in ["run", "help"] { #expect(try Command(["help", name]).status == 0) }
  }

  @Test func helpSaysWhatMakesAGridAndWhatTheCacheOptionIsFor() throws {
    for (name, lengths) in [("bench", "128, 512 and 1024"), ("plan", "1024"), ("tune", "512 and 2048")] {
      let help = try Command([name, "--help"]).output.split { $0.isWhitespace }.joined(separator: " ")
      #expect(help.contains("separated by commas, make a grid"))
      #expect(help.contains("Without lengths: \(lengths) queries and keys"))
      #expect(help.contains("--kv-type") == (name != "tune"))
      #expect(help.contains("--kv-type <type> With --as-gpu:") == (name == "plan"))
    }
  }

  @Test(
    .enabled(if: FileManager.default.fileExists(atPath: "/dev/full")),
    arguments: [["--help"], ["plan", "--device", "cpu"]])
  func aFullDiskIsAnErrorAndNotACrash(arguments: [String]) throws {
    let command = try Command(arguments, outputPath: "/dev/full")
    #expect(command.status == 2)
    #expect(command.errors == "attend: standard output: No space left on device\n")
  }

  @Test(arguments: [("ATTENTION_ISA", "mmx"), ("ATTENTION_THREADS", "0"), ("ATTENTION_THREADS", "two")])
  func aWrongVariableOfTheCPUBackendIsBadInput(variable: (name: String, value: String)) throws {
    for arguments in [["plan", "--device", "cpu"], ["plan"], ["devices"]] {
      let command = try Command(arguments, environment: [variable.name: variable.value])
      #expect(command.status == 2)
      #expect(command.errors.hasPrefix("attend: \(variable.name): expected "))
      #expect(command.errors.hasSuffix(", found \(variable.value)\n"))
    }
  }

  @Test(arguments: [("ATTENTION_DEVICE_CLASS", "GPU"), ("ATTENTION_MATRIX_UNITS", "tensor")])
  func aMisspeltVariableOfOpenCLIsBadInput(variable: (name: String, value: String)) throws {
    for arguments in [["plan"], ["verify", "--device", "opencl"]] {
      let command = try Command(arguments, environment: [variable.name: variable.value])
      #expect(command.status == 2)
      #expect(command.errors.hasPrefix("attend: \(variable.name): expected "))
      #expect(command.errors.hasSuffix(", found \(variable.value)\n"))
    }
  }

  @Test func versionIsPrinted() throws {
    let version = try Command(["--version"])
    #expect(version.status == 0)
    #expect(version.output.hasPrefix("attend "))
  }
}
