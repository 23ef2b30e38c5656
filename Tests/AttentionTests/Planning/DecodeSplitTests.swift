import Attention
import Testing

/// Where decode kernels cut keys.
@Suite("Decode splits")
struct DecodeSplitTests {
  static func split(heads: Int, units: Int) -> DecodeSplit {
    var device = DeviceProfile(identifier: "test", name: "test", deviceClass: .cpu)
    device.computeUnits = units
    return DecodeSplit(keyValueHeads: heads, on: device)
  }

  @Test("What is small is not worth a second kernel", arguments: [1, 17, 300, 512])
  func small(keyLength: Int) {
    #expect(Self.split(heads: 3, units: 2).pieces(keyLength: keyLength) == 1)
  }

  @Test("Long sequences feed every compute unit", arguments: [(1, 2), (2, 16), (8, 64), (3, 4)])
  func units(heads: Int, units: Int) {
    for keyLength in [4096, 20_000, 65_536] {
      #expect(Self.split(heads: heads, units: units).pieces(keyLength: keyLength) * heads >= units, "\(keyLength) keys")
    }
  }

  @Test("Pieces cover the keys, and stay few", arguments: [(1, 1), (8, 2), (8, 64)])
  func covers(heads: Int, units: Int) {
    for keyLength in [0, 1, 129, 700, 4096, 65_536, 1 << 20] {
      let split = Self.split(heads: heads, units: units)
      let (keys, pieces) = (split.pieceKeys(keyLength: keyLength), split.pieces(keyLength: keyLength))
      #expect(keys.nonzeroBitCount == 1 && keys % 16 == 0, "\(keyLength) keys")
      #expect(keys * pieces >= keyLength && keys * (pieces - 1) < max(1, keyLength), "\(keyLength) keys")
    }
    #expect(Self.split(heads: 8, units: 2).pieces(keyLength: 1 << 20) <= 64)
  }

  @Test("Sequences that share a prefix have pieces in common")
  func sharing() {
    let split = Self.split(heads: 8, units: 2)
    let keys = split.pieceKeys(keyLength: 5000)
    #expect(keys <= 512)
    for other in [2000, 5001, 30_000] { #expect(split.pieceKeys(keyLength: other) == keys, "\(other) keys") }
  }
}
