import CAttention
import Foundation

/// What the CPU backend's kernels are compiled for; which of them a processor has is asked when the program runs.
public enum InstructionSet: String, Sendable, Hashable, CaseIterable {
  /// Four lanes, on any processor: SSE2 on x86-64.
  case baseline
  /// Four lanes, on arm64.
  case neon
  /// Eight lanes: AVX2, FMA and F16C, on x86-64.
  case avx2
  /// Sixteen lanes: AVX-512 F, BW, DQ and VL, on x86-64.
  case avx512
  /// The same with attention's products by AMX's tiles, on x86-64 where the system lets a process use them. Their numbers are
  /// bfloat16, their sums float32: a float16 number is two of them, a float32 number three, and a weight two or three.
  case amx

  /// Those that this processor has, the best first.
  public static var available: [InstructionSet] { allCases.reversed().filter { $0.kernels != nil } }

  /// The one that is used where none is named: `ATTENTION_ISA`'s, or the best.
  ///
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where `ATTENTION_ISA` names none that this processor has.
  public static func standard() throws -> InstructionSet {
    let wanted = ProcessInfo.processInfo.environment["ATTENTION_ISA"] ?? ""
    return try wanted.isEmpty ? available.first ?? .baseline : InstructionSet(named: wanted, argument: "ATTENTION_ISA")
  }

  /// The instruction set of that name.
  ///
  /// - Parameter argument: Where the name is from, for the error.
  /// - Throws: ``AttentionError/invalid(argument:found:expected:)`` where it is none, or not this processor's.
  init(named name: String, argument: String) throws {
    guard let set = InstructionSet(rawValue: name.lowercased()), set.kernels != nil else {
      throw AttentionError.invalid(
        argument: argument, found: name,
        expected: "one that this processor has: " + Self.available.map(\.rawValue).joined(separator: ", "))
    }
    self = set
  }

  /// The C kernels; nil where this processor lacks the instruction set.
  package var kernels: UnsafePointer<attention_kernels>? {
    switch self {
    case .baseline: attention_kernels_of(ATTENTION_BASELINE)
    case .neon: attention_kernels_of(ATTENTION_NEON)
    case .avx2: attention_kernels_of(ATTENTION_AVX2)
    case .avx512: attention_kernels_of(ATTENTION_AVX512)
    case .amx: attention_kernels_of(ATTENTION_AMX)
    }
  }
}

extension ElementType {
  /// How the C kernels call it; nil where it is no storage type.
  package var cStorage: attention_storage? {
    switch self {
    case .float32: ATTENTION_FLOAT32
    case .float16: ATTENTION_FLOAT16
    case .bfloat16: ATTENTION_BFLOAT16
    case .float64, .int32, .int64, .bool: nil
    }
  }
}
