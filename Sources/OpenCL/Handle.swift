/// An OpenCL object's address, marked with what it is.
///
/// Every OpenCL handle arrives in Swift as the same `OpaquePointer`. The mark keeps a `cl_mem` out of a kernel's place.
///
/// Sendable without being checked: it is only an address, and OpenCL's functions may be called from any thread. The one
/// exception, setting arguments of one kernel, is kept to one thread by `Kernel` not being Sendable.
struct Handle<Object>: @unchecked Sendable, Hashable {
  let raw: OpaquePointer
}

/// The marks of `Handle`. They have no values.
enum HandleKind {
  enum Platform {}
  enum Device {}
  enum Context {}
  enum CommandQueue {}
  enum Memory {}
  enum Program {}
  enum Kernel {}
  enum Event {}
}
