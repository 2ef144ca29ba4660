"""Bar charts as SVG, readable on white and on black, with everything inside their frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH = 760
_KINDS = {"ours": "mobiz_async", "hand": "written by hand", "peer": "other clients", "limit": "the limit"}
_BAR, _PITCH, _GAP = 17, 25, 12
_TOP, _FOOT, _MARGIN = 84, 26, 14
_GLYPH = 7.1
"""Pixels that a character of 13 px takes at most on average, in the fonts below."""

_STYLE = """
svg { color: #1f2328; font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif }
text { fill: currentColor }
.title { font-size: 16px; font-weight: 600 }
.quiet { opacity: .7; font-size: 12px }
.grid { stroke: currentColor; opacity: .15 }
.mark { stroke: currentColor; opacity: .55; stroke-dasharray: 4 3 }
.ours { fill: #1a7f6b }
.hand { fill: #7d8590 }
.peer { fill: #b38600 }
.limit { fill: none; stroke: currentColor; stroke-dasharray: 4 3; opacity: .7 }
@media (prefers-color-scheme: dark) {
  svg { color: #e6edf3 }
  .ours { fill: #3fb99b }
  .hand { fill: #8b949e }
  .peer { fill: #d9a520 }
}
"""


class Bar(NamedTuple):
    label: str
    value: float
    kind: str
    """``ours``, ``hand``, ``peer`` or ``limit``."""
    text: str
    gap: bool = False
    """Whether there is some room above it."""


class Axis(NamedTuple):
    ticks: Sequence[float]
    place: Callable[[float], float]
    """Value to share of the width, 0 to 1."""
    text: Callable[[float], str]


def linear(values: Sequence[float], text: Callable[[float], str]) -> Axis:
    """Return an axis from zero, with round ticks."""
    largest = max(values)
    step = 10.0 ** math.floor(math.log10(largest))
    while largest / step > 5:  # noqa: PLR2004  at most five ticks beside zero
        step *= 2
    while largest / step < 2.5:  # noqa: PLR2004  and at least two
        step /= 2
    ticks = [step * number for number in range(int(largest / step) + 1)]
    return Axis(ticks, lambda value: value / largest, text)


def logarithmic(values: Sequence[float], text: Callable[[float], str]) -> Axis:
    """Return an axis in powers of ten, from the one below the smallest value."""
    low = math.floor(math.log10(min(values) * 0.999))
    high = math.log10(max(values))
    ticks = [10.0**power for power in range(low, math.floor(high) + 1)]
    return Axis(ticks, lambda value: (math.log10(value) - low) / (high - low), text)


def bars(title: str, subtitle: str, rows: Sequence[Bar], axis: Axis) -> str:
    """Return a chart of horizontal bars, one a row."""
    left = _MARGIN + max(len(row.label) for row in rows) * _GLYPH + 8
    right = WIDTH - _MARGIN - max(len(row.text) for row in rows) * _GLYPH - 6
    height = _TOP + len(rows) * _PITCH + sum(row.gap for row in rows) * _GAP + _FOOT
    bottom = height - _FOOT

    def across(value: float) -> float:
        return left + max(0.0, axis.place(value)) * (right - left)

    frame = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-labelledby="t d"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>',
        f'<title id="t">{escape(title)}</title>',
        f'<desc id="d">{escape("; ".join(f"{row.label}: {row.text}" for row in rows))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="{_MARGIN}" y="24">{escape(title)}</text>',
        f'<text class="quiet" x="{_MARGIN}" y="42">{escape(subtitle)}</text>',
    ]
    x = float(_MARGIN)
    for kind in [kind for kind in _KINDS if any(row.kind == kind for row in rows)]:
        parts.append(f'<rect class="{kind}" x="{x:.1f}" y="55" width="11" height="11" rx="2"/>')
        parts.append(f'<text class="quiet" x="{x + 17:.1f}" y="65">{_KINDS[kind]}</text>')
        x += 17 + len(_KINDS[kind]) * _GLYPH + 18
    for tick in axis.ticks:
        x = across(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{bottom}"/>')
        parts.append(f'<text class="quiet" x="{x:.1f}" y="{height - 9}" text-anchor="middle">{axis.text(tick)}</text>')
    y = float(_TOP)
    for row in rows:
        y += _GAP if row.gap else 0
        end = across(row.value)
        width = max(1.5, end - left)
        parts.append(f'<text x="{left - 8:.1f}" y="{y + 13:.1f}" text-anchor="end">{escape(row.label)}</text>')
        parts.append(
            f'<rect class="{row.kind}" x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BAR}" rx="2"/>'
        )
        parts.append(f'<text x="{left + width + 6:.1f}" y="{y + 13:.1f}">{escape(row.text)}</text>')
        if row.kind == "limit":
            parts.append(f'<line class="mark" x1="{end:.1f}" x2="{end:.1f}" y1="{_TOP - 6}" y2="{bottom}"/>')
        y += _PITCH
    return "\n".join([*parts, "</svg>", ""])
