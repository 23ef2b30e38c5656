# Makes Swift of the README: each ```swift block becomes a method of Snippets, but for parts of a Package.swift. A line
# that prints and says what, `print(x)  // y`, becomes a check that x is y. Messages name the README's lines.

BEGIN {
  print "// swift-format-ignore-file"
}

/^```swift$/ { inside = 1; first = NR + 1; body = ""; manifest = 0; next }

inside && /^```$/ {
  inside = 0
  if (manifest) next
  count++
  snippets[count] = sprintf("  func line%d() throws {\n#sourceLocation(file: \"README.md\", line: %d)\n%s#sourceLocation()\n  }\n", first, first, body)
  names[count] = first
  next
}

inside {
  if (NR == first && $0 ~ /Package\.swift/) manifest = 1
  if ($0 ~ /^import /) {
    # A method cannot import; the empty line keeps the count.
    imports[$0] = 1
    body = body "\n"
  } else if (match($0, /^ *print\(.*\)  \/\/ /)) {
    call = substr($0, 1, RLENGTH)
    expected = substr($0, RLENGTH + 1)
    sub(/print\(/, "try check(", call)
    sub(/\)  \/\/ $/, "", call)
    body = body call ", is: #\"" expected "\"#)\n"
  } else {
    body = body $0 "\n"
  }
}

END {
  if (inside || count == 0) { print "the README has no snippets, or one without an end" >"/dev/stderr"; exit 1 }
  for (line in imports) print line
  print "\nextension Snippets {"
  for (i = 1; i <= count; i++) print snippets[i]
  print "  var all: [(line: Int, run: () throws -> Void)] {\n    ["
  for (i = 1; i <= count; i++) printf "      (%d, line%d),\n", names[i], names[i]
  print "    ]\n  }\n}"
}
