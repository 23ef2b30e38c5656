/// Rows of equal length that lie at one pitch in host memory and at another in a buffer.
///
/// ```
///        hostOffset                       bufferOffset
/// host ──┤■■■■■■■■·····│            buffer ──┤■■■■■■■■··│   ■ widthBytes of each row
///        │■■■■■■■■·····│  rows               │■■■■■■■■··│
///        │■■■■■■■■·····│                     │■■■■■■■■··│
///        └hostRowPitch ┘                     └ pitch ───┘
/// ```
///
/// The last row need not have its whole pitch. All sizes are in bytes.
public struct TransferRect: Sendable, Hashable {
  /// The bytes of each row that are transferred.
  public var widthBytes: Int
  /// How many rows.
  public var rows: Int
  /// Where the first row begins in host memory.
  public var hostOffset: Int
  /// From the begin of one row to that of the next in host memory; at least `widthBytes`.
  public var hostRowPitch: Int
  /// Where the first row begins in the buffer.
  public var bufferOffset: Int
  /// From the begin of one row to that of the next in the buffer; at least `widthBytes`.
  public var bufferRowPitch: Int

  /// Makes a rectangle. A pitch that is not given is the width: the rows follow one another.
  public init(
    widthBytes: Int, rows: Int, hostOffset: Int = 0, hostRowPitch: Int? = nil, bufferOffset: Int = 0,
    bufferRowPitch: Int? = nil
  ) {
    self.widthBytes = widthBytes
    self.rows = rows
    self.hostOffset = hostOffset
    self.hostRowPitch = hostRowPitch ?? widthBytes
    self.bufferOffset = bufferOffset
    self.bufferRowPitch = bufferRowPitch ?? widthBytes
  }

  /// Whether there is nothing to transfer.
  public var isEmpty: Bool { widthBytes == 0 || rows == 0 }

  /// Whether the rows follow one another on both sides, so that a plain transfer does the same.
  package var isContiguous: Bool {
    rows <= 1 || (hostRowPitch == widthBytes && bufferRowPitch == widthBytes)
  }

  /// The bytes from offset 0 to the end of the last row in host memory; nil if the rectangle cannot be.
  package var hostEnd: Int? { end(offset: hostOffset, pitch: hostRowPitch) }

  /// The bytes from offset 0 to the end of the last row in the buffer; nil if the rectangle cannot be.
  package var bufferEnd: Int? { end(offset: bufferOffset, pitch: bufferRowPitch) }

  private func end(offset: Int, pitch: Int) -> Int? {
    guard widthBytes >= 0, rows >= 0, offset >= 0, pitch >= widthBytes else { return nil }
    guard !isEmpty else { return offset }
    let (skipped, overflow) = pitch.multipliedReportingOverflow(by: rows - 1)
    guard !overflow else { return nil }
    let (start, overflowOfStart) = skipped.addingReportingOverflow(offset)
    guard !overflowOfStart else { return nil }
    let (end, overflowOfEnd) = start.addingReportingOverflow(widthBytes)
    return overflowOfEnd ? nil : end
  }
}

extension TransferRect: CustomStringConvertible {
  /// One line with all six numbers.
  public var description: String {
    "\(rows) rows of \(widthBytes) bytes, host offset \(hostOffset) pitch \(hostRowPitch), "
      + "buffer offset \(bufferOffset) pitch \(bufferRowPitch)"
  }
}
