# SPDX-License-Identifier: Apache-2.0
"""Charts of measurements as SVG files in docs/charts/: bars, lines over a logarithmic axis, and
panels: what was sampled over time, one below the other.

    chart.bars("fetch-cpu", "CPU seconds for 1 GiB", [("egress", 0.5), ("rclone", 4.3)])
    chart.lines("growth-size", "CPU per GiB", "size, MiB", "s", {"egress": [(1, 0.9), (1024, 0.5)]})
    chart.panels("soak", "An hour", "minutes", [("memory, MiB", [(0, 20), (1, 21)])])
"""

import math
from xml.sax.saxutils import escape

from report import QUICK, ROOT

FOLDER = ROOT / "docs" / "charts"
WIDTH, ROW, LEFT, RIGHT = 760, 24, 280, 70
OURS, OTHERS = "#0b6e4f", "#8d99a6"
COLOURS = [OURS, "#c8553d", "#3d5a80", "#b08900", "#6d597a", "#8d99a6"]
FONT = 'font-family="sans-serif" font-size="12"'


def text(x, y, words, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(str(words))}</text>'


def line(x1, y1, x2, y2, colour="#d5d9de"):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def write(name, height, title, parts):
    """Returns the chart's place, as docs/performance.md refers to it."""
    whole = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" {FONT} role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(16, 24, title, more='font-weight="bold"'),
        *parts,
        "</svg>",
    ]
    if not QUICK:
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"{name}.svg").write_text("\n".join(whole) + "\n")
    return f"![{title}](charts/{name}.svg)"


def short(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def bars(name, title, rows):
    """rows: (label, value), in their order; those that begin with "egress" stand out."""
    most = max(value for _, value in rows)
    parts = []
    for number, (label, value) in enumerate(rows):
        y = 44 + number * ROW
        width = value / most * (WIDTH - LEFT - RIGHT)
        colour = OURS if label.startswith("egress") else OTHERS
        parts.append(text(LEFT - 8, y + 13, label, "end"))
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="17" fill="{colour}"/>')
        parts.append(text(LEFT + width + 6, y + 13, short(value)))
    return write(name, 44 + len(rows) * ROW + 12, title, parts)


def steps(most):
    """Round numbers from 0 to at least `most`, four to eight of them."""
    step = 10 ** math.floor(math.log10(most or 1))
    for factor in (0.2, 0.5, 1, 2):
        if most / (step * factor) <= 7:
            step *= factor
            break
    return [i * step for i in range(math.ceil(most / step) + 1)]


def lines(name, title, x_label, y_label, series):
    """series: name -> [(x, y)]; x on a logarithmic axis, y from 0."""
    height, top, bottom, left = 360, 56, 300, 70
    xs = sorted({x for points in series.values() for x, _ in points})
    marks = steps(max(y for points in series.values() for _, y in points))
    low, span = math.log2(xs[0]), (math.log2(xs[-1]) - math.log2(xs[0])) or 1

    def place(x, y):
        return (left + (math.log2(x) - low) / span * (WIDTH - left - 200),
                bottom - y / marks[-1] * (bottom - top))

    parts = [text(16, 44, y_label), text((left + WIDTH - 200) / 2, bottom + 40, x_label, "middle")]
    for mark in marks:
        y = place(xs[0], mark)[1]
        parts += [line(left, y, WIDTH - 130, y), text(left - 8, y + 4, short(mark), "end")]
    parts += [text(place(x, 0)[0], bottom + 18, short(x), "middle") for x in xs]
    for number, (label, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = [place(x, y) for x, y in points]
        dots = " ".join(f"{x:.1f},{y:.1f}" for x, y in path)
        parts.append(f'<polyline points="{dots}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in path]
        parts.append(text(path[-1][0] + 10, path[-1][1] + 4, label, more=f'fill="{colour}"'))
    return write(name, height, title, parts)


def panels(name, title, x_label, rows):
    """rows: (label, [(x, y)]), each with an axis of its own from 0; x, from 0, is the same for all.
    """
    left, right, top, room, gap = 70, WIDTH - 30, 56, 90, 40
    most = max(x for _, points in rows for x, _ in points) or 1
    bottom = top + len(rows) * (room + gap) - gap
    parts = []
    for mark in steps(most):
        if mark <= most:
            x = left + mark / most * (right - left)
            parts += [line(x, top, x, bottom), text(x, bottom + 18, short(mark), "middle")]
    parts.append(text((left + right) / 2, bottom + 36, x_label, "middle"))
    for number, (label, points) in enumerate(rows):
        floor = top + number * (room + gap) + room
        marks = steps(max(y for _, y in points))
        for mark in (0, marks[-1]):
            y = floor - mark / marks[-1] * room
            parts += [line(left, y, right, y), text(left - 8, y + 4, short(mark), "end")]
        dots = " ".join(f"{left + x / most * (right - left):.1f},{floor - y / marks[-1] * room:.1f}"
                        for x, y in points)
        parts.append(f'<polyline points="{dots}" fill="none" stroke="{COLOURS[number]}" '
                     'stroke-width="1.5"/>')
        parts.append(text(left + 4, floor - room - 6, label, more=f'fill="{COLOURS[number]}"'))
    return write(name, bottom + 52, title, parts)
