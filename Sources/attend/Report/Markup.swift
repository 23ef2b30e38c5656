/// HTML that is also well-formed XML: every element is closed, and every text and attribute escaped.
enum Markup {
  /// Text as it may stand between tags and in an attribute. What XML has no character for becomes U+FFFD.
  static func escaped(_ text: String) -> String {
    text.unicodeScalars.reduce(into: "") { result, scalar in
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      case "\t", "\n", "\r": result.unicodeScalars.append(scalar)
      case "\0"..<" ", "\u{7f}"..."\u{9f}", "\u{fffe}", "\u{ffff}": result += "\u{fffd}"
      default: result.unicodeScalars.append(scalar)
      }
    }
  }

  /// An element around markup; attribute values are escaped here, the content must be already.
  static func element(_ name: String, _ attributes: KeyValuePairs<String, String> = [:], _ content: String) -> String {
    "<\(name)\(list(attributes))>\(content)</\(name)>"
  }

  /// An element without content.
  static func element(_ name: String, _ attributes: KeyValuePairs<String, String>) -> String {
    "<\(name)\(list(attributes))/>"
  }

  /// An element around text.
  static func text(_ name: String, _ attributes: KeyValuePairs<String, String> = [:], _ text: String) -> String {
    element(name, attributes, escaped(text))
  }

  private static func list(_ attributes: KeyValuePairs<String, String>) -> String {
    attributes.map { " \($0)=\"\(escaped($1))\"" }.joined()
  }
}
