import Attention
import AttentionTestSupport
import Testing

@Suite("Head dimensions")
struct DimensionTests {
  /// `D` and a different `Dv`; each runs with `Dv = D` too.
  static let dimensions = [
    (1, 3), (7, 9), (16, 48), (31, 16), (64, 128), (72, 31), (80, 64), (96, 1), (128, 64), (192, 128), (256, 7),
    (576, 512),
  ]

  static let shapes = ElementType.storageTypes.flatMap { type in
    dimensions.flatMap { width, valueWidth in
      [nil, valueWidth].map { CallShape(type, queries: 17, keys: 67, D: width, Dv: $0) }
    }
  }

  @Test("D and Dv", arguments: TestDevice.all, shapes)
  func widths(device: TestDevice, shape: CallShape) throws {
    try check(shape.call(), on: device)
  }
}
