"""How far a run is: a bar that moves on a terminal, a plain line every few seconds when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

import attrs
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mobiz_async.bulk import BulkRun
from mobiz_async.cli.screen import Screen
from mobiz_async.reports import AttemptEvent, Stats

__all__ = ["Progress", "Trouble", "View", "bar", "line"]

_LIVE_INTERVAL = 0.125
_PLAIN_INTERVAL = 5.0
_LONGEST_TITLE = 24


@attrs.frozen
class View:
    """What there is to show at one moment.

    ``read_fraction``: how much of the source has been read, 0.0 to 1.0. ``trouble``: why the last
    attempt has to be made again, if it has.
    """

    stats: Stats
    total: int | None = None
    read_fraction: float | None = None
    trouble: str = ""

    @property
    def settled(self) -> int:
        """Records of which it is known what became of them."""
        stats = self.stats
        return stats.accepted + stats.rejected + stats.unknown + stats.not_sent + stats.skipped

    @property
    def fraction(self) -> float | None:
        """How much of the work is done, 0.0 to 1.0; None where the length of the source is not known."""
        if self.total is not None:
            return min(1.0, self.settled / self.total) if self.total else 1.0
        if self.read_fraction is None:
            return None
        return self.read_fraction * (self.settled / self.stats.read if self.stats.read else 0.0)

    @property
    def rate(self) -> float:
        """Records settled a second, over the whole run."""
        return self.settled / self.stats.elapsed if self.stats.elapsed else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long it takes if it goes on like this; None where nothing can be said."""
        done = self.fraction
        return self.stats.elapsed * (1.0 - done) / done if done else None


@attrs.define
class Trouble:
    """Hears of every attempt and remembers why the last one is made again; nothing once one is settled."""

    word: str = ""

    def __call__(self, event: AttemptEvent) -> None:
        """Take note of an attempt."""
        self.word = "" if event.retry_in is None else event.verdict.replace("_", " ")


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _counts(view: View) -> list[tuple[str, str]]:
    """Return (text, style) of what became of the records; what is bad has a colour as soon as there is some."""
    stats = view.stats
    counts = [
        (f"{stats.accepted:,} accepted", "green"),
        (f"{stats.rejected:,} rejected", "red" if stats.rejected else ""),
        (f"{stats.unknown:,} unknown", "yellow" if stats.unknown else ""),
    ]
    counts += [(f"{stats.not_sent:,} not sent", "red")] if stats.not_sent else []
    counts += [(f"{stats.skipped:,} skipped", "")] if stats.skipped else []
    return counts


def line(view: View) -> str:
    """Return the moment as one plain line."""
    parts = [f"{view.stats.read:,} read", *(text for text, _ in _counts(view)), f"{view.rate:,.0f}/s"]
    if view.fraction is not None:
        parts.append(f"{view.fraction:.0%}")
    if view.seconds_left is not None:
        parts.append(f"{_clock(view.seconds_left)} left")
    if view.trouble:
        parts.append(f"waiting: {view.trouble}")
    return ", ".join(parts)


def bar(view: View, title: str) -> RenderableType:
    """Return the moment as two lines: a bar, and what became of the records."""
    done = view.fraction
    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(max_width=_LONGEST_TITLE, no_wrap=True, overflow="ellipsis")
    head.add_column(ratio=1)
    head.add_column(justify="right", no_wrap=True)
    left = view.seconds_left
    head.add_row(
        Text(title, style="bold"),
        _line_of(done),
        Text(
            f"{view.rate:,.0f}/s"
            + (f"  {done:.0%}" if done is not None else f"  {_clock(view.stats.elapsed)}")
            + (f"  {_clock(left)} left" if left is not None else "")
        ),
    )
    counts = Text(f"{view.stats.read:,} read")
    for text, style in _counts(view):
        counts.append("  ").append(text, style=style)
    if view.trouble:
        counts.append(f"  waiting: {view.trouble}", style="yellow")
    return Group(head, counts)


def _line_of(done: float | None) -> ProgressBar:
    # The terminal's own colours: rich's are picked for a dark one.
    return ProgressBar(
        total=None if done is None else 1.0,
        completed=done or 0.0,
        pulse=done is None,
        style="dim",
        complete_style="cyan",
        finished_style="green",
        pulse_style="cyan",
    )


class Progress:
    """Shows how far ``run`` is, within its block."""

    def __init__(
        self,
        screen: Screen,
        title: str,
        run: BulkRun,
        *,
        total: int | None = None,
        read_fraction: Callable[[], float | None] = lambda: None,
        trouble: Trouble | None = None,
    ) -> None:
        """Take what to show; nothing is drawn before the block."""
        self._screen = screen
        self._title = title
        self._run = run
        self._total = total
        self._read_fraction = read_fraction
        self._trouble = trouble
        self._live = Live(console=screen.err, auto_refresh=False, transient=True) if screen.live else None
        self._task: asyncio.Task[None] | None = None

    @property
    def view(self) -> View:
        """The moment."""
        trouble = self._trouble.word if self._trouble is not None else ""
        return View(attrs.evolve(self._run.stats), self._total, self._read_fraction(), trouble)

    async def __aenter__(self) -> Self:
        """Begin to draw."""
        if self._live is not None:
            self._live.start()
        if not self._screen.quiet:
            self._task = asyncio.create_task(self._draw_again_and_again())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self.hide()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def hide(self) -> None:
        """Take the bar away and give the terminal its cursor back. Twice is fine."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def draw(self) -> None:
        """Show the moment."""
        if self._live is not None:
            self._live.update(bar(self.view, self._title), refresh=True)
        else:
            self._screen.remark(line(self.view))

    async def _draw_again_and_again(self) -> None:
        while True:
            if self._live is not None:
                self.draw()
                await asyncio.sleep(_LIVE_INTERVAL)
            else:
                await asyncio.sleep(_PLAIN_INTERVAL)
                self.draw()
