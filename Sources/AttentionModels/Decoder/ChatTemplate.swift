import Foundation

/// How a conversation becomes the text that a model continues.
public enum ChatTemplate: Sendable, Equatable {
  /// `<|im_start|>role`, a line break, the message, `<|im_end|>` and a line break; where the conversation does not begin with
  /// a system message, the model's own stands there.
  case chatML(system: String?)

  /// The template that a Jinja text stands for; nil where it is none of these.
  init?(jinja: String) {
    guard jinja.contains("<|im_start|>"), jinja.contains("<|im_end|>") else { return nil }
    var system: String?
    if let start = jinja.range(of: "<|im_start|>system\n")?.upperBound,
      let end = jinja[start...].range(of: "<|im_end|>")?.lowerBound
    {
      let message = String(jinja[start..<end])
      // A message that the template takes from elsewhere is no text of its own.
      if !message.contains("'") && !message.contains("{{") { system = message }
    }
    self = .chatML(system: system)
  }

  /// The text of a conversation of one message, up to where the answer begins.
  public func text(user message: String, system: String? = nil) -> String {
    switch self {
    case .chatML(let own):
      let system = (system ?? own).map { "<|im_start|>system\n\($0)<|im_end|>\n" } ?? ""
      return system + "<|im_start|>user\n\(message)<|im_end|>\n<|im_start|>assistant\n"
    }
  }
}
