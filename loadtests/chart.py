"""A picture of lines as SVG.

Owns: the drawing. Refuses to know: what the numbers mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 320
LEFT, TOP, RIGHT, BOTTOM = 50, 40, 170, 30
COLORS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8e5572", "#b08900", "#5b5f97", "#222222", "#7fb069")
TICKS = 4
"""Lines across, about: they stand at round values."""
ROUND_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def line_chart(title: str, lines: Mapping[str, Sequence[float]], *, span: tuple[str, str] = ("", "")) -> str:
    """Return a picture with a line for each name, all over the same number of even steps.

    Args:
        title: Said above it.
        lines: Values by name; a line passes over NaN.
        span: What stands below the first and the last step.
    """
    values = [value for line in lines.values() for value in line if not math.isnan(value)]
    low, high = min([0.0, *values]), max([1.0, *values])
    step = _round_step((high - low) / TICKS)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        "<style>text {font: 12px sans-serif}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20">{escape(title)}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 8}">{escape(span[0])}</text>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{escape(span[1])}</text>',
    ]
    for tick in range(round((high - low) / step) + 1):
        value = low + step * tick
        y = _y(value, low, high)
        parts += [
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>',
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>',
        ]
    for place, (name, line) in enumerate(lines.items()):
        color = COLORS[place % len(COLORS)]
        points = " ".join(
            f"{_x(step, line):.1f},{_y(value, low, high):.1f}"
            for step, value in enumerate(line)
            if not math.isnan(value)
        )
        y = TOP + 18 * place + 10
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>',
            f'<text x="{WIDTH - RIGHT + 12}" y="{y}" fill="{color}">{escape(name)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _x(step: int, line: Sequence[float]) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * step / max(1, len(line) - 1)


def _y(value: float, low: float, high: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)


def _round_step(least: float) -> float:
    """Return the smallest round step that isn't smaller than this."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in ROUND_STEPS if factor * power >= least * (1 - 1e-9))
