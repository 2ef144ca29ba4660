"""The diagram of a chunk's life, drawn from ``mobiz_async.journal.LIFE``: what is not in the table is not drawn."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import NamedTuple

from mobiz_async.journal import ChunkState, Event

__all__ = ["draw"]

WIDTH, HEIGHT = 860, 430
BOX_WIDTH, BOX_HEIGHT = 132, 46
LINE_HEIGHT = 17
APART = 13
"""How far from the middle line either of two opposite arrows runs."""


TIP = (
    '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
    'orient="auto-start-reverse"><path d="M0 0 10 5 0 10z"/></marker></defs>'
)


class Point(NamedTuple):
    """A place on the drawing."""

    x: float
    y: float


PLACES: Mapping[ChunkState, Point] = {
    ChunkState.PENDING: Point(90, 190),
    ChunkState.INTENDED: Point(430, 190),
    ChunkState.REJECTED: Point(770, 60),
    ChunkState.ACCEPTED: Point(770, 190),
    ChunkState.UNKNOWN: Point(430, 370),
}
"""Where each state stands. A state that has no place here makes the build fail."""


def draw(life: Mapping[tuple[ChunkState, Event], ChunkState]) -> str:
    """Return the diagram as an SVG element; its colours come from the page."""
    arrows: dict[tuple[ChunkState, ChunkState], list[str]] = {}
    for (start, event), end in life.items():
        arrows.setdefault((start, end), []).append(event.value)
    told = "; ".join(f"{start} to {end}: {', '.join(events)}" for (start, end), events in arrows.items())
    parts = [
        f'<svg class="chunk-life" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg">',
        f"<title>{html.escape(f'The life of a chunk. {told}.')}</title>",
        TIP,
    ]
    for (start, end), events in arrows.items():
        parts += _arrow(PLACES[start], PLACES[end], events, shifted=(end, start) in arrows)
    final = set(life.values()) - {start for start, _ in life}
    parts += [_box(state, PLACES[state], final=state in final) for state in _states(life)]
    return "\n".join([*parts, "</svg>"])


def _states(life: Mapping[tuple[ChunkState, Event], ChunkState]) -> list[ChunkState]:
    named = {start for start, _ in life} | set(life.values())
    return [state for state in ChunkState if state in named]


def _box(state: ChunkState, place: Point, *, final: bool) -> str:
    corner = Point(place.x - BOX_WIDTH / 2, place.y - BOX_HEIGHT / 2)
    kind = f"state {state.value}" + (" final" if final else "")
    return (
        f'<g class="{kind}"><rect x="{corner.x}" y="{corner.y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="9"/>'
        f'<text x="{place.x}" y="{place.y + 5}">{state.value}</text></g>'
    )


def _arrow(start: Point, end: Point, events: list[str], *, shifted: bool) -> list[str]:
    """Return a line and its label; one of two opposite arrows keeps to its own left."""
    length = math.dist(start, end)
    ahead = Point((end.x - start.x) / length, (end.y - start.y) / length)
    aside = Point(ahead.y * APART * shifted, -ahead.x * APART * shifted)
    first = _edge(Point(start.x + aside.x, start.y + aside.y), start, ahead)
    last = _edge(Point(end.x + aside.x, end.y + aside.y), end, Point(-ahead.x, -ahead.y))
    line = f'<line class="arrow" x1="{first.x:.1f}" y1="{first.y:.1f}" x2="{last.x:.1f}" y2="{last.y:.1f}"/>'
    return [line, _label(Point((first.x + last.x) / 2, (first.y + last.y) / 2), ahead, events)]


def _edge(at: Point, centre: Point, ahead: Point) -> Point:
    """Return where a line from ``at`` in the direction ``ahead`` leaves the box around ``centre``, with some air."""
    reach = math.inf
    for position, step, middle, half in (
        (at.x, ahead.x, centre.x, BOX_WIDTH / 2 + 4),
        (at.y, ahead.y, centre.y, BOX_HEIGHT / 2 + 4),
    ):
        if abs(step) > 1e-9:  # noqa: PLR2004  parallel to that side
            reach = min(reach, (middle + math.copysign(half, step) - position) / step)
    return Point(at.x + ahead.x * reach, at.y + ahead.y * reach)


def _label(middle: Point, ahead: Point, events: list[str]) -> str:
    """Return the events, where they meet neither their own line nor another one."""
    x, y = middle
    below = 19
    if abs(ahead.x) < 1e-9:  # noqa: PLR2004  upright: on the side where no opposite arrow runs
        anchor = "start" if ahead.y > 0 else "end"
        x += math.copysign(9, ahead.y)
        y -= (len(events) - 1) * LINE_HEIGHT / 2 - 4
    elif abs(ahead.y) > 1e-9:  # noqa: PLR2004  slanting: below it, on the outer side
        anchor = "start" if ahead.x > 0 else "end"
        x += math.copysign(8, ahead.x)
        y += below
    else:
        anchor = "middle"
        y += below if ahead.x < 0 else -8 - (len(events) - 1) * LINE_HEIGHT
    lines = "".join(
        f'<tspan x="{x:.1f}" dy="{LINE_HEIGHT if number else 0}">{html.escape(event)}</tspan>'
        for number, event in enumerate(events)
    )
    return f'<text class="event" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{lines}</text>'
