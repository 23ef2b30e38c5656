import Attention
import Testing

/// Where decode kernels cut keys.
@Suite("Decode splits")
struct DecodeSplitTests {
  static func split(heads: Int, units: Int, _ deviceClass: DeviceProfile.DeviceClass = .cpu) -> DecodeSplit {
    var device = DeviceProfile(identifier: "test", name: "test", deviceClass: deviceClass)
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

  @Test("A GPU's units have four to eight pieces where there are keys enough", arguments: [(8, 132), (8, 20), (2, 96)])
  func gpu(heads: Int, units: Int) {
    let split = Self.split(heads: heads, units: units, .gpu)
    for keyLength in [0, 1, 63, 64, 700, 4096, 5000, 65_536, 1 << 20] {
      let (keys, pieces) = (split.pieceKeys(keyLength: keyLength), split.pieces(keyLength: keyLength))
      #expect(keys >= 64 && keys.nonzeroBitCount == 1, "\(keyLength) keys")
      #expect(keys * pieces >= keyLength && keys * (pieces - 1) < max(1, keyLength), "\(keyLength) keys")
      #expect(pieces <= 256 && pieces * heads <= 8 * units, "\(keyLength) keys")
      // Fewer only where pieces are the shortest, or as many as a head may have.
      #expect(keys == 64 || pieces >= 128 || pieces * heads >= 4 * units - heads, "\(keyLength) keys")
    }
  }

  @Test("On a GPU neighbouring lengths have the same pieces, and few heads no more than 256")
  func sharingOnGPU() {
    let split = Self.split(heads: 8, units: 132, .gpu)
    #expect(split.pieceKeys(keyLength: 4096) == 64)
    #expect(split.pieceKeys(keyLength: 40_000) == split.pieceKeys(keyLength: 60_000))
    #expect(Self.split(heads: 1, units: 132, .gpu).pieces(keyLength: 1 << 20) == 256)
    #expect(Self.split(heads: 64, units: 2, .gpu).pieces(keyLength: 1 << 20) == 1)
  }
}
