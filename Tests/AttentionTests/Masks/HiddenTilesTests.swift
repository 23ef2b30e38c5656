import Attention
import AttentionTestSupport
import Testing

/// Tiles of keys that a mask hides as a whole lie between tiles that are seen: passing over one must not end the walk.
@Suite("Hidden tiles between seen ones")
struct HiddenTilesTests {
  /// Keys that every query sees, in tiles of any size up to 128 with hidden ones before, between and after.
  private static func isVisible(_ j: Int) -> Bool { (256..<260).contains(j) || (512..<530).contains(j) }

  @Test("In one pass and staged, by a boolean, an additive and a block mask", arguments: TestDevice.all, [1, 4, 70])
  func walks(device: TestDevice, queries: Int) throws {
    let keys = 800
    let visible = (0..<keys).map(Self.isVisible)
    let shape = CallShape(heads: 2, queries: queries, keys: keys, D: 32)
    var blocks = [Bool](repeating: false, count: 50)
    for j in visible.indices where visible[j] { blocks[j / 16] = true }
    let masks: [AttentionMask] = [
      .tensor(try Tensor(visible, shape: [1, keys])),
      .tensor(try Tensor(visible.map { $0 ? Float(0) : -.infinity }, shape: [1, keys])),
      .blocks(BlockMask(queryBlock: 128, keyBlock: 16, visible: try Tensor(blocks, shape: [1, 50]))),
    ]
    for mask in masks {
      for inOnePass in [true, false] {
        var call = try shape.call().inOnePass(inOnePass)
        call.mask = mask
        #expect(try Expectation(call).misses(device.engine().attention(call)) == [])
      }
    }
  }
}
