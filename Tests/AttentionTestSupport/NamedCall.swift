import Attention

/// A call and the name that a test reports it by.
package struct NamedCall: Sendable, CustomStringConvertible {
  package let description: String
  private let make: @Sendable () throws -> AttentionCall

  package init(_ name: String, _ make: @escaping @Sendable () throws -> AttentionCall) {
    description = name
    self.make = make
  }

  /// A call of some shape, changed.
  package init(
    _ name: String, _ shape: CallShape, seed: UInt64 = 1,
    _ change: @escaping @Sendable (inout AttentionCall) throws -> Void = { _ in }
  ) {
    self.init(name) {
      var call = try shape.call(seed: seed)
      try change(&call)
      return call
    }
  }

  package func call() throws -> AttentionCall { try make() }
}
