/// What is wrong with a model, or with what is asked of it.
public struct ModelError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file or argument that it is about.
  public let subject: String
  public let found: String
  public let expected: String

  public init(_ subject: String, found: String, expected: String) {
    self.subject = subject
    self.found = found
    self.expected = expected
  }

  public var description: String { "\(subject): expected \(expected), found \(found)" }
}
