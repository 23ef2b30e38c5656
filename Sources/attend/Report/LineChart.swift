import Foundation

/// Lines over lengths, as an SVG drawing in a figure.
struct LineChart {
  struct Point {
    let length: Int
    let value: Double
  }

  struct Series {
    let name: String
    /// Which colour, dash and mark: the same for one device on the whole page.
    let style: Int
    let points: [Point]
  }

  let title: String
  /// What the values are, said of each axis.
  let unit: String
  let series: [Series]
  var scale = Axis.Scale.linear
  /// A value as its label on the axis, and where the reader points at it.
  let label: (Double) -> String

  private static let (width, height) = (440.0, 260.0)
  private static let (left, right, top, bottom) = (68.0, 26.0, 12.0, 42.0)
  /// Styles for what is compared; one more, ``neutralStyle``, is for what it is compared with.
  static let styleCount = 5
  static let neutralStyle = 5

  /// The figure; empty where there is nothing to draw.
  var figure: String {
    let points = series.flatMap(\.points)
    guard !points.isEmpty else { return "" }
    let x = Axis(ticks: points.map { Double($0.length) })
    let y = Axis(scale, holding: points.map(\.value))
    let drawing =
      grid(x, y) + series.map { line($0, x, y) }.joined()
    let names = series.map(\.name).joined(separator: ", ")
    return Markup.element(
      "figure", ["class": "chart"],
      Markup.element(
        "figcaption", [:], Markup.text("h3", [:], title) + Markup.text("p", ["class": "unit"], unit) + legend)
        + Markup.element(
          "svg",
          [
            "viewBox": "0 0 \(Int(Self.width)) \(Int(Self.height))", "role": "img",
            "aria-label": "\(title), \(unit), by length: \(names). The table below has the numbers.",
          ], drawing)
        + Markup.text("p", ["class": "readout"], "\u{a0}"))
  }

  private var legend: String {
    Markup.element(
      "ul", ["class": "legend"],
      series.map { series in
        let swatch = Markup.element(
          "svg", ["viewBox": "0 0 28 12", "class": "swatch s\(series.style)", "aria-hidden": "true"],
          Markup.element("path", ["class": "line", "d": "M0 6H28"]) + mark(series.style, 14, 6))
        return Markup.element("li", [:], swatch + Markup.escaped(series.name))
      }.joined())
  }

  private func horizontal(_ place: Double) -> Double { Self.left + place * (Self.width - Self.left - Self.right) }
  private func vertical(_ place: Double) -> Double { Self.height - Self.bottom - place * plotHeight }
  private var plotHeight: Double { Self.height - Self.top - Self.bottom }

  private func grid(_ x: Axis, _ y: Axis) -> String {
    let rows = y.ticks.map { tick in
      let at = vertical(y.place(tick))
      return Markup.element(
        "path", ["class": "grid", "d": "M\(number(Self.left)) \(number(at))H\(number(Self.width - Self.right))"])
        + Markup.text(
          "text", ["x": number(Self.left - 6), "y": number(at + 4), "class": "tick end"], label(tick))
    }
    let columns = x.ticks.map { tick in
      Markup.text(
        "text", ["x": number(horizontal(x.place(tick))), "y": number(Self.height - 22), "class": "tick middle"],
        "\(Int(tick))")
    }
    let axis = Markup.text(
      "text", ["x": number(horizontal(0.5)), "y": number(Self.height - 5), "class": "tick middle"], "length (keys)")
    return rows.joined() + columns.joined() + axis
  }

  private func line(_ series: Series, _ x: Axis, _ y: Axis) -> String {
    let places = series.points.sorted { $0.length < $1.length }.map { point in
      (point, horizontal(x.place(Double(point.length))), vertical(y.place(point.value)))
    }
    let path = places.enumerated().map { "\($0 == 0 ? "M" : "L")\(number($1.1)) \(number($1.2))" }.joined()
    let marks = places.map { point, atX, atY in
      let text = "\(series.name), length \(point.length): \(label(point.value))"
      return Markup.element(
        "g", ["class": "point", "data-label": text], Markup.text("title", [:], text) + mark(series.style, atX, atY))
    }
    return Markup.element(
      "g", ["class": "s\(series.style)"], Markup.element("path", ["class": "line", "d": path]) + marks.joined())
  }

  /// A mark of its own for each style: colour alone does not reach every eye.
  private func mark(_ style: Int, _ x: Double, _ y: Double) -> String {
    let shape =
      switch style {
      case 0, 4: "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z"
      case 1: "m-3.5-3.5h7v7h-7z"
      case 2: "m0-4.5l4.5 8h-9z"
      default: "m0-5l5 5l-5 5l-5-5z"
      }
    return Markup.element("path", ["class": "mark", "d": "M\(number(x)) \(number(y))\(shape)"])
  }

  private func number(_ value: Double) -> String { String(format: "%.1f", value) }
}
