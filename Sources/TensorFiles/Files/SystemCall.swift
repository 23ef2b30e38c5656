#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Repeats a system call that a signal interrupted; `nil` is a failure that ``lastSystemError`` tells of.
func retryingInterrupts<Result: SignedInteger>(_ call: () -> Result) -> Result? {
  while true {
    let result = call()
    if result != -1 { return result }
    if errno != EINTR { return nil }
  }
}

/// What the last failed system call of this thread says.
var lastSystemError: String { String(cString: strerror(errno)) }

/// Whether a mode is that of a regular file: no folder, device or pipe.
func isRegularFile(_ mode: mode_t) -> Bool { mode & S_IFMT == S_IFREG }
