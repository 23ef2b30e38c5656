internal import COpenCL

/// The shape every `clGet…Info` function has once its object and parameter name are bound: room in bytes, where to
/// write, and where to say how many bytes there are.
typealias InfoFunction = (Int, UnsafeMutableRawPointer?, UnsafeMutablePointer<Int>?) -> cl_int

/// Reads properties of one object with one `clGet…Info` function.
struct Query {
  /// The function's name, for errors.
  let call: String

  /// The device the object belongs to, for errors.
  var device: String?

  /// A property of fixed size. The answer must be exactly as long as `T`.
  func value<T: BitwiseCopyable>(_ property: String, _ zero: T, _ function: InfoFunction) throws(OpenCLError) -> T {
    var value = zero
    var length = 0
    let status = withUnsafeMutableBytes(of: &value) { function($0.count, $0.baseAddress, &length) }
    try check(status, property)
    guard length == MemoryLayout<T>.size else {
      throw error(.invalidValue, "\(property) has \(length) bytes, expected \(MemoryLayout<T>.size)")
    }
    return value
  }

  /// A property that is a list.
  func list<T: BitwiseCopyable>(_ property: String, _ zero: T, _ function: InfoFunction) throws(OpenCLError) -> [T] {
    var length = 0
    try check(function(0, nil, &length), property)
    let count = length / MemoryLayout<T>.stride
    guard count > 0 else { return [] }
    var values = [T](repeating: zero, count: count)
    try check(values.withUnsafeMutableBytes { function($0.count, $0.baseAddress, nil) }, property)
    return values
  }

  /// A property that is a zero-terminated text, without blanks around it: some drivers pad theirs.
  func string(_ property: String, _ function: InfoFunction) throws(OpenCLError) -> String {
    let bytes = try list(property, UInt8(0), function).prefix { $0 != 0 }
    var text = Substring(String(decoding: bytes, as: UTF8.self))
    while text.first?.isWhitespace == true { text.removeFirst() }
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }

  private func check(_ status: cl_int, _ property: String) throws(OpenCLError) {
    guard status == CL_SUCCESS else { throw error(OpenCLStatus(rawValue: status), property) }
  }

  private func error(_ status: OpenCLStatus, _ detail: String) -> OpenCLError {
    OpenCLError(call: call, status: status, device: device, detail: detail)
  }
}
