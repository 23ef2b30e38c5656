import Foundation

/// How BERT's uncased models read text before they cut it: control characters go, every white space is a blank, Chinese
/// characters stand alone, accents and capitals are taken away.
struct BertNormalization: Sendable, Equatable {
  var cleansText = true
  var isolatesChinese = true
  var stripsAccents = true
  var lowercases = true

  /// A scalar of the normalised text, and the bytes of the original that it comes from.
  struct Mapped: Equatable {
    var scalar: Unicode.Scalar
    var range: Range<Int>
  }

  func normalize(_ text: some StringProtocol, at offset: Int = 0) -> [Mapped] {
    var result: [Mapped] = []
    result.reserveCapacity(text.utf8.count)
    var position = offset
    for scalar in text.unicodeScalars {
      let range = position..<position + UTF8.width(scalar)
      position = range.upperBound
      if cleansText, scalar.value == 0 || scalar == "\u{fffd}" || scalar.isBertControl { continue }
      if cleansText, scalar.isBertSpace {
        result.append(Mapped(scalar: " ", range: range))
      } else if isolatesChinese, scalar.isChinese {
        result += [" ", scalar, " "].map { Mapped(scalar: $0, range: range) }
      } else {
        result.append(Mapped(scalar: scalar, range: range))
      }
    }
    if stripsAccents {
      result = Self.decomposed(result).filter { $0.scalar.bertCategory != .nonspacingMark }
    }
    return lowercases ? result.flatMap(Self.lowercased) : result
  }

  /// Canonical decomposition (NFD): every scalar for itself, then marks in the order of their classes.
  private static func decomposed(_ text: [Mapped]) -> [Mapped] {
    var result: [Mapped] = []
    result.reserveCapacity(text.count)
    var marks = 0
    for mapped in text {
      for part in parts(of: mapped.scalar) {
        let order = part.properties.canonicalCombiningClass
        var place = result.count
        if order != .notReordered {
          while place > result.count - marks, result[place - 1].scalar.properties.canonicalCombiningClass > order {
            place -= 1
          }
          marks += 1
        } else {
          marks = 0
        }
        result.insert(Mapped(scalar: part, range: mapped.range), at: place)
      }
    }
    return result
  }

  private static func parts(of scalar: Unicode.Scalar) -> [Unicode.Scalar] {
    // Nothing below U+00C0 has a decomposition; the tables that models were trained with end at Unicode 12.
    guard scalar.value >= 0xc0, let age = scalar.properties.age, age.major <= 12 else { return [scalar] }
    return Array(String(scalar).decomposedStringWithCanonicalMapping.unicodeScalars)
  }

  private static func lowercased(_ mapped: Mapped) -> [Mapped] {
    if mapped.scalar.isASCII {
      let isCapital = ("A"..."Z").contains(mapped.scalar)
      return [
        Mapped(scalar: isCapital ? Unicode.Scalar(UInt8(mapped.scalar.value) + 32) : mapped.scalar, range: mapped.range)
      ]
    }
    return mapped.scalar.properties.lowercaseMapping.unicodeScalars.map { Mapped(scalar: $0, range: mapped.range) }
  }
}

extension Unicode.Scalar {
  /// White space, by Unicode's property.
  var isBertSpace: Bool { properties.isWhitespace }

  /// What BERT calls a control character: Unicode's "other", but for the three that count as white space.
  var isBertControl: Bool {
    if self == "\t" || self == "\n" || self == "\r" { return false }
    switch bertCategory {
    case .control, .format, .privateUse, .surrogate: return true
    default: return false
    }
  }

  /// The general category in Unicode 8, whose tables the tokenizers that models were trained with go by: `nil` for
  /// characters that came later.
  fileprivate var bertCategory: Unicode.GeneralCategory? {
    switch value {
    // Those that have changed since.
    case 0x166d, 0x111c9: return .otherPunctuation
    case 0x1734, 0x1171e: return .nonspacingMark
    case 0xa9bd: return .spacingMark
    case 0x1885, 0x1886: return .otherLetter
    default: break
    }
    guard let age = properties.age, age.major <= 8 else { return nil }
    return properties.generalCategory
  }

  /// Unicode punctuation, and what ASCII has of symbols.
  var isBertPunctuation: Bool {
    if isASCII {
      return ("!"..."/").contains(self) || (":"..."@").contains(self) || ("["..."`").contains(self)
        || ("{"..."~").contains(self)
    }
    switch bertCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      return true
    default: return false
    }
  }

  /// The blocks of CJK ideographs.
  fileprivate var isChinese: Bool {
    switch value {
    case 0x4e00...0x9fff, 0x3400...0x4dbf, 0x20000...0x2a6df, 0x2a700...0x2b73f, 0x2b740...0x2b81f, 0x2b920...0x2ceaf,
      0xf900...0xfaff, 0x2f800...0x2fa1f:
      true
    default: false
    }
  }
}
