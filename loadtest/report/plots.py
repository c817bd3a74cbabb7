"""Line charts as inline SVG. Pure; knows nothing of load tests."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 10, 24
# Also distinguishable with red-green colour blindness (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

Point = tuple[float, float]


def axis_steps(highest: float, most: int = 5) -> list[float]:
    """Round steps from 0 up to at least `highest`."""
    if highest <= 0:
        return [0.0, 1.0]
    rough = highest / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999999)
    return [step * index for index in range(math.ceil(highest / step * 0.999999) + 1)]


def label(value: float) -> str:
    """A short number: 1.2M, 35k, 0.25."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{unit}"
    return f"{round(value, 6):g}"


def line_chart(
    title: str, lines: Mapping[str, Sequence[Point]], bands: Sequence[tuple[str, float]] = (), end: float = 0.0
) -> str:
    """Lines over time in seconds, from 0 to at least `end`. `bands`: named times, drawn as vertical lines."""
    points = [point for line in lines.values() for point in line]
    right = max([end, *(x for x, _ in points)]) or 1.0
    marks = axis_steps(max((y for _, y in points), default=0.0))

    def position(x: float, y: float) -> tuple[float, float]:
        return (
            round(_LEFT + x / right * (_WIDTH - _LEFT - _RIGHT), 1),
            round(_HEIGHT - _BOTTOM - y / marks[-1] * (_HEIGHT - _TOP - _BOTTOM), 1),
        )

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">']
    for mark in marks:
        x, y = position(0, mark)
        parts.append(f'<path class="grid" d="M{x} {y}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{x - 6}" y="{y + 4}" text-anchor="end">{label(mark)}</text>')
    for mark in axis_steps(right, 8):
        if mark <= right:
            x, y = position(mark, 0)
            parts.append(f'<text x="{x}" y="{y + 16}" text-anchor="middle">{label(mark)} s</text>')
    for name, at in bands:
        x, y = position(at, 0)
        parts.append(f'<path class="band" d="M{x} {_TOP}V{y}"/><text x="{x + 3}" y="{_TOP + 10}">{escape(name)}</text>')
    for colour, line in zip(_colours(len(lines)), lines.values(), strict=True):
        path = "L".join(f"{x} {y}" for x, y in (position(*point) for point in line))
        if path:
            parts.append(f'<path class="line" stroke="{colour}" d="M{path}"/>')
    parts.append("</svg>")
    legend = " ".join(
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
        for colour, name in zip(_colours(len(lines)), lines, strict=True)
    )
    return f"<figure><figcaption><b>{escape(title)}</b> {legend}</figcaption>{''.join(parts)}</figure>"


def _colours(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]
