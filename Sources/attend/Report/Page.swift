import TensorFiles

/// A page that needs no other file and no network.
struct Page {
  var title: String
  var heading: String
  /// Beside that of all pages.
  var style = ""
  /// Markup.
  var content: String
  var script: String

  var text: String {
    // The policy keeps the page's promise: nothing is fetched from anywhere.
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8"/>
    <meta name="viewport" content="width=device-width, initial-scale=1"/>
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'"/>
    <meta name="color-scheme" content="light dark"/>
    <title>\(Markup.escaped(title))</title>
    <style>
    \(Self.style)
    \(style)
    </style>
    </head>
    <body>
    <main>
    <h1>\(Markup.escaped(heading))</h1>
    \(content)
    </main>
    <script>
    \(script)
    </script>
    </body>
    </html>

    """
  }

  /// Writes the page.
  ///
  /// - Throws: `TensorFileError` where it cannot be written; then there is no file, or the older one.
  func write(to path: String) throws { try Self.write(text, to: path) }

  /// Writes any text as a file, whole or not at all.
  static func write(_ text: String, to path: String) throws {
    try AtomicFile.write(to: path) { file in
      var text = text
      try text.withUTF8 { try file.append(UnsafeRawBufferPointer($0)) }
    }
  }
}
