/// Safetensors files as bytes, so that tests can make ones that no writer would.
enum SafetensorsBytes {
  /// A file of a header, which need not be JSON, and data.
  static func file(header: String, data: [UInt8] = []) -> [UInt8] {
    file(headerLength: UInt64(header.utf8.count), header: Array(header.utf8), data: data)
  }

  /// A file whose header length need not be that of its header.
  static func file(headerLength: UInt64, header: [UInt8] = [], data: [UInt8] = []) -> [UInt8] {
    withUnsafeBytes(of: headerLength.littleEndian) { Array($0) } + header + data
  }

  /// A file of one tensor, `x`, with an entry given as JSON.
  static func file(entry: String, data: [UInt8] = []) -> [UInt8] {
    file(header: #"{"x":\#(entry)}"#, data: data)
  }
}
