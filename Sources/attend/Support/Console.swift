import Foundation

/// What the program writes: results on stdout, everything else on stderr.
enum Console {
  /// Text on stdout.
  ///
  /// - Throws: ``Failure`` where it cannot be written: a full disk, a closed descriptor.
  static func write(_ text: String) throws {
    if let reason = put(text, on: STDOUT_FILENO) { throw Failure(.badInput, "standard output: \(reason)") }
  }

  /// Text on stdout that does not end a line.
  ///
  /// - Throws: ``Failure`` where it cannot be written.
  static func writePart(_ text: String) throws {
    if let reason = put(Array(text.utf8)[...], on: STDOUT_FILENO) {
      throw Failure(.badInput, "standard output: \(reason)")
    }
  }

  /// Complaints on stderr, under the program's name.
  static func complain(_ lines: [String]) {
    for line in lines { note("attend: " + line) }
  }

  /// A line on stderr. Where that cannot be written either, there is nobody to tell.
  static func note(_ line: String) { _ = put(line, on: STDERR_FILENO) }

  /// Writes all of a text and the end of its line; what went wrong, if anything. (`FileHandle` would end the process.)
  private static func put(_ text: String, on descriptor: Int32) -> String? {
    put(Array((text.hasSuffix("\n") ? text : text + "\n").utf8)[...], on: descriptor)
  }

  private static func put(_ bytes: ArraySlice<UInt8>, on descriptor: Int32) -> String? {
    var rest = bytes
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return String(cString: strerror(errno)) }
      rest = rest.dropFirst(count)
    }
    return nil
  }

  /// Text on stderr that does not end a line.
  fileprivate static func put(_ text: String) { _ = put(Array(text.utf8)[...], on: STDERR_FILENO) }

  /// Whether stdout is a terminal whose user has not turned colours off: https://no-color.org.
  static var showsColors: Bool {
    let isOff = ProcessInfo.processInfo.environment["NO_COLOR"].map { !$0.isEmpty } ?? false
    return isatty(STDOUT_FILENO) == 1 && takesEscapes && !isOff
  }

  /// Whether a terminal knows escape sequences.
  fileprivate static var takesEscapes: Bool { ProcessInfo.processInfo.environment["TERM"] != "dumb" }

  /// Characters across, where stdout is a terminal that says so.
  static var width: Int? {
    guard isatty(STDOUT_FILENO) == 1 else { return nil }
    var size = winsize()
    guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }
}

private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
  write(descriptor, bytes, count)
}

/// A line on stderr that says how far long work has come; only where stderr is a terminal, and only once it has
/// taken a while.
final class ProgressLine: @unchecked Sendable {
  private let lock = NSLock()
  private let isShown = isatty(STDERR_FILENO) == 1 && Console.takesEscapes
  private let start = ContinuousClock.now
  private var last = ContinuousClock.now
  private var isDirty = false

  func show(_ text: @autoclosure () -> String) {
    guard isShown else { return }
    lock.withLock {
      let now = ContinuousClock.now
      guard now - start > .milliseconds(500), now - last > .milliseconds(100) else { return }
      last = now
      isDirty = true
      Console.put("\r\u{1b}[K\(text())")
    }
  }

  /// Takes the line away, before other output and at the end.
  func clear() {
    lock.withLock {
      if isDirty { Console.put("\r\u{1b}[K") }
      isDirty = false
    }
  }
}
