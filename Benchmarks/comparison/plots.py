"""Plots as SVG: lines by length, one panel a family of shapes. No library: they are a few paths and texts."""

from html import escape
from math import ceil, log2

_COLOURS = [("#0a5fc2", "#74b4ff"), ("#b3470a", "#ff9f5f"), ("#147a3c", "#62d28c"), ("#8333c9", "#cba3ff")]
_DASHES = ["", "7 3", "2 3", "9 3 2 3"]
_WIDTH, _HEIGHT, _COLUMNS = 360, 240, 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 20, 34, 36


def _style() -> str:
    light = "".join(f".s{i}{{color:{colours[0]}}}" for i, colours in enumerate(_COLOURS))
    dark = "".join(f".s{i}{{color:{colours[1]}}}" for i, colours in enumerate(_COLOURS))
    dashes = "".join(f".s{i} path{{stroke-dasharray:{dash}}}" for i, dash in enumerate(_DASHES) if dash)
    return (
        "text{font:12px system-ui,sans-serif;fill:#16181d}.title{font-weight:600;font-size:13px}.page{fill:#fff}"
        ".grid{stroke:#d5d9e0;fill:none}.s path{stroke:currentColor;stroke-width:2;fill:none}.s circle{fill:currentColor}"
        f"{light}{dashes}@media(prefers-color-scheme:dark){{text{{fill:#e8eaee}}.page{{fill:#14161a}}"
        f".grid{{stroke:#3a3f49}}{dark}}}"
    )


def draw(title: str, panels: dict[str, dict[str, list[tuple[int, float]]]], unit: str, top: float | None = None) -> str:
    """An SVG text. `panels`: family → name of who computed → (length, value); `top`: where the value axis ends."""
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    rows = ceil(len(panels) / _COLUMNS)
    width, height = _COLUMNS * _WIDTH, 58 + rows * _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{_style()}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<text class="title" x="12" y="20">{escape(title)}, {escape(unit)}</text>',
    ]
    at = 12
    for index, name in enumerate(names):
        parts.append(f'<g class="s s{index % 4}"><path d="M{at} 38h24"/><circle cx="{at + 12}" cy="38" r="3.5"/></g>')
        parts.append(f'<text x="{at + 30}" y="42">{escape(name)}</text>')
        at += 50 + 7 * len(name)
    for index, (family, lines) in enumerate(panels.items()):
        x, y = index % _COLUMNS * _WIDTH, 52 + index // _COLUMNS * _HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{_panel(family, lines, names, top)}</g>')
    return "\n".join(parts) + "\n</svg>\n"


def _panel(family: str, lines, names, top) -> str:
    lengths = sorted({length for points in lines.values() for length, _ in points})
    highest = top or max((value for points in lines.values() for _, value in points), default=1)
    step = next(s * 10.0**p for p in range(-3, 9) for s in (1, 2, 5) if s * 10.0**p * 5 >= highest * 0.999)
    end = step * ceil(highest / step - 1e-9)

    def place(length, value):
        spread = log2(lengths[-1] / lengths[0]) or 1
        along = log2(length / lengths[0]) / spread if len(lengths) > 1 else 0.5
        return (
            _LEFT + along * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - value / end * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [f'<text class="title" x="{_LEFT}" y="22">{escape(family)}</text>']
    for tick in range(round(end / step) + 1):
        y = place(lengths[0], tick * step)[1]
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text text-anchor="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{tick * step:g}</text>')
    for length in lengths:
        x = place(length, 0)[0]
        parts.append(f'<text text-anchor="middle" x="{x:.1f}" y="{_HEIGHT - 18}">{length}</text>')
    for name, points in lines.items():
        places = [(*place(length, value), length, value) for length, value in sorted(points)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in places)
        marks = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{escape(name)}, {length}: {value:.3g}</title></circle>'
            for x, y, length, value in places
        )
        parts.append(f'<g class="s s{names.index(name) % 4}"><path d="M{path}"/>{marks}</g>')
    return "".join(parts)
