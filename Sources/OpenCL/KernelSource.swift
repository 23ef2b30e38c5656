internal import COpenCL

/// The OpenCL C files this package carries, one for each file of Kernels/.
package enum KernelSource {
  /// Their names, without ".cl".
  package static var names: [String] {
    (0..<attention_source_count()).compactMap { attention_source_at($0).map { String(cString: $0.pointee.name) } }
  }

  /// The text of one; nil if there is none of that name.
  package static func text(named name: String) -> String? {
    guard let source = attention_source_named(name)?.pointee else { return nil }
    return String(decoding: UnsafeBufferPointer(start: source.text, count: source.length), as: UTF8.self)
  }

  /// A digest of the texts of these names, in their order: it changes when one of them does.
  package static func digest(of names: [String]) -> String {
    hexDigest(names.map { text(named: $0) ?? "" }.joined(separator: "\0"))
  }
}

/// The first 16 hexadecimal digits of a text's SHA-256.
package func hexDigest(_ text: String) -> String {
  let bytes = Array(text.utf8)
  var digest = [UInt8](repeating: 0, count: 32)
  attention_sha256(bytes, bytes.count, &digest)
  return digest.prefix(8).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
