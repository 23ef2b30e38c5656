import ArgumentParser
import Attention

/// What Scripts/gpu-compilers asks: the programs that a GPU which is not there would be given. No part of the command line
/// that users are promised, and not in its help.
struct GPUPrograms: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gpu-programs",
    abstract: "Print the programs a GPU would build: kernels, sources and options, tab-separated, a line each.",
    shouldDisplay: false)

  @Option(help: "amd, nvidia, intel or other.")
  var vendor: DeviceVendor

  @Option(help: ArgumentHelp("Local memory of a work-group.", valueName: "bytes"))
  var localMemory = 48 << 10

  @Option(help: ArgumentHelp("The most work-items of a work-group.", valueName: "n"))
  var workGroupSize = 256

  @Option(help: ArgumentHelp("Sub-group sizes that a kernel can demand.", valueName: "n"))
  var subgroupSizes: List<Int>?

  @Option(help: ArgumentHelp("Dimension of queries and keys.", valueName: "n"))
  var headDimension = 64

  @Option(help: ArgumentHelp("Dimension of values. Default: that of the keys.", valueName: "n"))
  var valueDimension: Int?

  @Option(help: ArgumentHelp("Element type: f32, f16 or bf16.", valueName: "type"))
  var dtype = StorageType.f32

  mutating func run() throws {
    let programs = gpuPrograms(
      vendor: vendor, localMemory: localMemory, maxWorkGroupSize: workGroupSize,
      subgroupSizes: subgroupSizes?.values ?? [], headDimension: headDimension,
      valueDimension: valueDimension ?? headDimension, elementType: dtype.elementType)
    for program in programs {
      let fields = [program.kernels.joined(separator: ","), program.sources.joined(separator: ","), program.options]
      try Console.write(fields.joined(separator: "\t"))
    }
  }
}

extension DeviceVendor: ExpressibleByArgument {}
