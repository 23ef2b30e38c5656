import Attention
import TensorFiles

/// What a device is given to compile for the layers of a model, with one type of weights.
package struct LayerProgram {
  let weights: GGUFType
  let tiles: StagedTiles
  /// Work-items that share a row.
  let items: Int

  static let sources = ["common", "weights", "product", "linear", "layers"]

  init(weights: GGUFType, tiles: StagedTiles, items: Int) {
    self.weights = weights
    self.tiles = tiles
    self.items = items
  }

  /// What the device's limits admit, best first; one at least.
  package static func candidates(weights: GGUFType, on device: DeviceProfile) throws(AttentionError) -> [LayerProgram] {
    let tiles = StagedTiles.candidates(for: device.deviceClass).filter { $0.fit(device) }
    guard !tiles.isEmpty else { throw noneFits(device) }
    let items = device.deviceClass == .gpu ? min(64, device.maxWorkGroupSize) : 1
    return tiles.map { LayerProgram(weights: weights, tiles: $0, items: items) }
  }

  static func noneFits(_ device: DeviceProfile) -> AttentionError {
    .cannotRun(device: device.identifier, reason: "no tile of the products fits it")
  }

  /// Numbers of a product that a work-group makes one after the other: a group of a CPU is worth more than one.
  var numbers: Int { items == 1 ? 32 : 1 }

  package var program: KernelProgram {
    let number =
      switch weights {
      case .f16: 1
      case .bf16: 2
      case .q8_0: 3
      case .q4_0: 4
      case .q4_1: 5
      default: 0
      }
    return KernelProgram(
      kernels: [
        "linear", "linear_number", "take_rows", "layer_norm", "rms_norm", "add", "gelu", "gelu_tanh", "silu_gate",
      ],
      sources: Self.sources,
      options: [
        "-cl-std=CL1.2", "-DSTORAGE=0", "-DALIGNED", "-DNUMBERS=\(numbers)", "-DWEIGHTS=\(number)",
        "-DITEMS=\(items)", "-DGROUP_X=\(tiles.groupX)", "-DGROUP_Y=\(tiles.groupY)", "-DROWS=\(tiles.rows)",
        "-DCOLUMNS=\(tiles.columns)", "-DVECTOR=\(tiles.vector)", "-DTILE_K=\(tiles.depth)",
      ])
  }
}
