import FoundationEssentials

/// The names of an object's members, in order and as often as they stand there: of several members of one name JSONDecoder
/// keeps one, and does not say so.
enum JSONNames {
  /// - Parameter json: An object that JSONDecoder has parsed.
  static func names(ofObject json: Data) throws -> [String] {
    try json.withUnsafeBytes { bytes in
      var names: [String] = []
      var depth = 0
      // Of the outermost object: a name follows its brace or a comma.
      var isNameNext = false
      var position = 0
      while position < bytes.count {
        switch bytes[position] {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
          depth += 1
          isNameNext = depth == 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
        case UInt8(ascii: ","): isNameNext = depth == 1
        case UInt8(ascii: "\""):
          let end = endOfString(bytes, from: position)
          if isNameNext { names.append(try text(ofString: UnsafeRawBufferPointer(rebasing: bytes[position..<end]))) }
          isNameNext = false
          position = end - 1
        default: break
        }
        position += 1
      }
      return names
    }
  }

  /// Where a string that begins at `start` is over: past its second quotation mark.
  private static func endOfString(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
    var position = start + 1
    while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
      position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
    }
    return min(position + 1, bytes.count)
  }

  /// What a string with its quotation marks stands for. Two spellings may be one name: `"a"`, `"\u0061"`.
  private static func text(ofString string: UnsafeRawBufferPointer) throws -> String {
    guard string.contains(UInt8(ascii: "\\")) else {
      return String(decoding: string.dropFirst().dropLast(), as: UTF8.self)
    }
    return try JSONDecoder().decode(String.self, from: Data(string))
  }
}
