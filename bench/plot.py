"""Line charts as SVG, with their labels where the lines end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 560, 400
LEFT, RIGHT, TOP, BOTTOM = 62, 215, 58, 48
GAP = 17  # between two labels


class Line(NamedTuple):
    label: str
    colour: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


class Panel(NamedTuple):
    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    logarithmic: bool = False


def svg(panels: Sequence[Panel]) -> str:
    """The panels side by side."""
    width = WIDTH * len(panels)
    body = [part for number, panel in enumerate(panels) for part in _panel(panel, number * WIDTH)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{HEIGHT}" fill="white"/>', *body, "</svg>\n"])


class _Axis:
    """Values to places on the picture, between two ends."""

    def __init__(self, values: Sequence[float], ends: tuple[float, float], logarithmic: bool):
        self.ends, self.measure = ends, (math.log10 if logarithmic else float)
        self.ticks = _decades(values) if logarithmic else _steps(values)

    def at(self, value: float) -> float:
        low, high = self.measure(self.ticks[0]), self.measure(self.ticks[-1])
        begin, end = self.ends
        return begin + (self.measure(value) - low) / (high - low) * (end - begin)


def _decades(values: Sequence[float]) -> list[float]:
    """1, 2, 5, 10 … around the values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    ticks = [base * 10.0**power for power in range(low, high + 1) for base in (1, 2, 5)]
    first = max(i for i, tick in enumerate(ticks) if tick <= min(values))
    last = min(i for i, tick in enumerate(ticks) if tick >= max(values))
    return ticks[first : last + 1]


def _steps(values: Sequence[float]) -> list[float]:
    """Round numbers from zero on."""
    rough = max(values) / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * base for base in (1, 2, 5, 10) if unit * base >= rough)
    return [step * i for i in range(math.ceil(max(values) / step) + 1)]


def _panel(panel: Panel, offset: float) -> list[str]:
    xs, ys = ([point[i] for line in panel.lines for point in line.points] for i in (0, 1))
    x = _Axis(xs, (offset + LEFT, offset + WIDTH - RIGHT), panel.logarithmic)
    y = _Axis(ys, (HEIGHT - BOTTOM, TOP), panel.logarithmic)
    return [
        _text(offset + LEFT, 22, panel.title, weight="bold", size=14),
        *_grid(panel, x, y),
        *(part for line in panel.lines for part in _line(line, x.at, y.at)),
        *_labels(panel.lines, offset + WIDTH - RIGHT + 10, y.at),
    ]


def _grid(panel: Panel, x: _Axis, y: _Axis) -> list[str]:
    (left, right), (bottom, top) = x.ends, y.ends
    numbers = sorted({point[0] for line in panel.lines for point in line.points})
    return [
        *(_stroke([(left, y.at(tick)), (right, y.at(tick))], "#dddddd", 1) for tick in y.ticks),
        *(_text(left - 8, y.at(tick) + 4, f"{tick:g}", anchor="end") for tick in y.ticks),
        *(_text(x.at(number), bottom + 18, f"{number:g}", anchor="middle") for number in numbers),
        _stroke([(left, top), (left, bottom), (right, bottom)], "#444444", 1),
        _text((left + right) / 2, HEIGHT - 10, panel.x_label, anchor="middle"),
        _text(left, top - 12, panel.y_label),
    ]


def _line(line: Line, x: Callable, y: Callable) -> list[str]:
    places = [(x(a), y(b)) for a, b in line.points]
    dots = [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{line.colour}"/>' for a, b in places]
    return [_stroke(places, line.colour, 2, line.dashed), *dots]


def _labels(lines: Sequence[Line], left: float, y: Callable) -> list[str]:
    """Each beside the end of its line, and below the one before it."""
    parts, lowest = [], -math.inf
    for line in sorted(lines, key=lambda line: -line.points[-1][1]):
        lowest = max(y(line.points[-1][1]) + 4, lowest + GAP)
        parts.append(_text(left, lowest, line.label, colour=line.colour))
    return parts


def _stroke(places: Sequence[tuple[float, float]], colour: str, width: int, dashed: bool = False) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>'


def _text(x: float, y: float, text: str, anchor="start", weight="normal", size=12, colour="#222222") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" font-size="{size}" '
        f'fill="{colour}">{escape(text)}</text>'
    )
