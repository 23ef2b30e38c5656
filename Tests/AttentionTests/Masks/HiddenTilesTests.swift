import Attention
import AttentionTestSupport
import Testing

/// Tiles of keys that a mask hides as a whole lie between tiles that are seen: passing over one must not end the walk.
@Suite("Hidden tiles between seen ones")
struct HiddenTilesTests {
  /// Keys that every query sees, in tiles of any size up to 128 with hidden ones before, between and after. Where a pass
  /// cuts keys into pieces at multiples of 128, tiles up to 64 are hidden at the beginnings of pieces.
  private static func isVisible(_ j: Int) -> Bool { (330..<334).contains(j) || (704..<722).contains(j) }

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

  /// Rows that go through a tile together, where some see all of it and the others nothing.
  @Test("Seen by turns", arguments: TestDevice.all, [4, 16, 70])
  func turns(device: TestDevice, queries: Int) throws {
    let rows = (queries + 1) / 2
    let seen = [[20, 21, 44], [22, 23]]
    let blocks = (0..<rows).flatMap { row in (0..<50).map { seen[row % 2].contains($0) } }
    var call = try CallShape(heads: 2, queries: queries, keys: 800, D: 32).call().inOnePass(true)
    call.mask = .blocks(BlockMask(queryBlock: 2, keyBlock: 16, visible: try Tensor(blocks, shape: [rows, 50])))
    #expect(try Expectation(call).misses(device.engine().attention(call)) == [])
  }
}
