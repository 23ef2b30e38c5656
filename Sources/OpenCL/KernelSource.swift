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
}
