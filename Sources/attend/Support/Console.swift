import Foundation

/// What the program writes: results on stdout, everything else on stderr.
enum Console {
  static func write(_ text: String) {
    FileHandle.standardOutput.write(Data((text.hasSuffix("\n") ? text : text + "\n").utf8))
  }

  /// Lines on stderr.
  static func complain(_ lines: [String], prefix: String = "attend: ") {
    for line in lines { note(prefix + line) }
  }

  static func note(_ line: String) {
    FileHandle.standardError.write(Data((line.hasSuffix("\n") ? line : line + "\n").utf8))
  }

  /// Characters across, where stdout is a terminal that says so.
  static var width: Int? {
    guard isatty(STDOUT_FILENO) == 1 else { return nil }
    var size = winsize()
    guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }
}

/// A line on stderr that says how far long work has come; only where stderr is a terminal, and only once it has
/// taken a while.
final class ProgressLine: @unchecked Sendable {
  private let lock = NSLock()
  private let isShown = isatty(STDERR_FILENO) == 1
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
      FileHandle.standardError.write(Data("\r\u{1b}[K\(text())".utf8))
    }
  }

  /// Takes the line away, before other output and at the end.
  func clear() {
    lock.withLock {
      if isDirty { FileHandle.standardError.write(Data("\r\u{1b}[K".utf8)) }
      isDirty = false
    }
  }
}
