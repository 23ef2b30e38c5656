import OpenCL

/// A kind of matrix units that Kernels/matrix_units.cl, with its vendor's file, has words for.
public enum MatrixUnits: String, Sendable, Hashable, CaseIterable {
  /// NVIDIA's, of compute capability 8.0 and later.
  case mma
  /// AMD's of CDNA 2 and later.
  case mfma
  /// AMD's of RDNA 3.
  case wmma
  /// AMD's of RDNA 4.
  case wmma12

  /// The number that kernels, tables and tuning files know them by.
  package var number: Int {
    switch self {
    case .mma: 1
    case .mfma: 2
    case .wmma: 3
    case .wmma12: 4
    }
  }

  package init?(number: Int) {
    guard let units = Self.allCases.first(where: { $0.number == number }) else { return nil }
    self = units
  }

  package var vendor: DeviceVendor { self == .mma ? .nvidia : .amd }

  /// Work-items of a warp.
  package var warpItems: Int { self == .mfma ? 64 : 32 }
  /// Rows of a tile that a warp may have: with 32, what it reads of keys and values serves twice as many products.
  package static let warpRows = [16, 32]
  /// Columns of the keys, and keys, that a step of a product takes.
  package var step: Int { self == .mfma ? 32 : 16 }

  /// Bytes of local memory that tiles of keys and values of 16 bits take, as the vendor's file lays them out, and a flag;
  /// emulated, what lanes pass one another.
  package func localBytes(keys: Int, headDimension: Int, valueDimension: Int, groupItems: Int, emulated: Bool) -> Int {
    let keyStride = roundedUp(headDimension, to: step) + 8
    let valueWidth = roundedUp(valueDimension, to: 16)
    let valueStride = self == .mma ? valueWidth + 8 : valueWidth / 8 * 9
    let words =
      switch self {
      case .mma: 6
      case .mfma: 4
      case .wmma: 16
      case .wmma12: 8
      }
    return 2 * keys * (keyStride + valueStride) + (emulated ? 4 * words * groupItems : 0) + 16
  }
}

extension MatrixUnits {
  /// What a device multiplies by matrix units, each type by its kind.
  static func of(_ info: DeviceInfo, vendor: DeviceVendor) -> [ElementType: MatrixUnits] {
    switch vendor {
    case .nvidia: info.computeCapability.map { of(architecture: "sm_\($0)") } ?? [:]
    // AMD's own driver calls a device by its architecture, such as "gfx90a:sramecc+:xnack-".
    case .amd: of(architecture: String(info.name.prefix { $0 != ":" }))
    case .intel, .other: [:]
    }
  }

  /// The same of an architecture, by the name that its vendor's compiler has for it.
  package static func of(architecture name: String) -> [ElementType: MatrixUnits] {
    switch name {
    // CDNA 2 takes float16 numbers below 2⁻¹⁴ for 0, which nothing here does.
    case "gfx90a": [.bfloat16: .mfma]
    case "gfx940", "gfx941", "gfx942", "gfx950": all(.mfma)
    case _ where name.hasPrefix("gfx11"): all(.wmma)
    case _ where name.hasPrefix("gfx12"): all(.wmma12)
    case _ where name.hasPrefix("sm_"): Int(name.dropFirst(3)).map { $0 >= 80 } ?? false ? all(.mma) : [:]
    default: [:]
    }
  }

  /// A kind that multiplies both types of 16 bits.
  package static func all(_ units: MatrixUnits) -> [ElementType: MatrixUnits] { [.float16: units, .bfloat16: units] }
}
