import ArgumentParser
import Attention
import Foundation

/// `--device`, for the commands that use one set of devices.
struct DeviceOption: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Where to compute: auto, reference, cpu, cpu:avx2 (an instruction set), opencl, opencl:P:D (platform P, device D), "
        + "or a part of a device's name.",
      discussion: "Several, separated by commas, divide the heads between them. Default: $ATTENTION_DEVICE, or auto.",
      valueName: "id"))
  var device: String?

  func engine(kernel: KernelChoice = .auto) throws -> AttentionEngine {
    try Self.engine(device ?? Self.standard, kernel: kernel)
  }

  static var standard: String {
    let variable = ProcessInfo.processInfo.environment["ATTENTION_DEVICE"] ?? ""
    return variable.isEmpty ? "auto" : variable
  }

  static func engine(_ name: String, kernel: KernelChoice = .auto) throws -> AttentionEngine {
    let names = name.split(separator: ",", omittingEmptySubsequences: false).map {
      $0.trimmingCharacters(in: .whitespaces)
    }
    guard names.allSatisfy({ !$0.isEmpty }) else {
      throw Failure(.badInput, "device: expected names with commas between them, found '\(name)'")
    }
    guard names == ["auto"] || !names.contains("auto") else {
      throw Failure(.badInput, "device: expected auto alone, or names without it, found '\(name)'")
    }
    return try AttentionEngine(device: DeviceSelection(name), kernel: kernel) { Console.note("attend: \($0)") }
  }
}

/// `--kernel`.
struct KernelOption: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "The kernels to use: auto, fused (one pass, no score matrix), staged (QKᵀ, masked softmax and weighted V) or decode "
        + "(keys in pieces, then merged).",
      valueName: "kind"))
  var kernel: KernelChoice = .auto
}

extension KernelChoice: ExpressibleByArgument {}
