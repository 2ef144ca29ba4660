"""How far a run is: what a moment says, on a terminal and on none."""

from __future__ import annotations

import asyncio
import io
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from mobiz_async.cli import progress
from mobiz_async.cli.progress import Progress, Trouble, View, bar, line
from mobiz_async.cli.screen import Screen
from mobiz_async.models import Outcome
from mobiz_async.reports import AttemptEvent, Stats


def drawn(view: View, title: str = "spring.csv", *, color: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=80, force_terminal=color, color_system="standard" if color else None)
    console.print(bar(view, title))
    return [text.rstrip() for text in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]  # a StringIO


GOING = Stats(read=500_000, accepted=400_000, elapsed=2.0)
BADLY = Stats(500_000, accepted=200_000, rejected=50_000, unknown=40_000, not_sent=10, skipped=100_000, elapsed=2.0)
BADLY_LINE = (
    "500,000 read, 200,000 accepted, 50,000 rejected, 40,000 unknown, 10 not sent, 100,000 skipped, "
    "195,005/s, 78%, 0:01 left, waiting: throttled"
)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(Stats()), "0 read, 0 accepted, 0 rejected, 0 unknown, 0/s"),
        (View(GOING), "500,000 read, 400,000 accepted, 0 rejected, 0 unknown, 200,000/s"),
        (
            View(GOING, total=1_000_000),
            "500,000 read, 400,000 accepted, 0 rejected, 0 unknown, 200,000/s, 40%, 0:03 left",
        ),
        (
            View(GOING, read_fraction=0.01),
            "500,000 read, 400,000 accepted, 0 rejected, 0 unknown, 200,000/s, 1%, 4:08 left",
        ),
        (View(GOING, read_fraction=0.0001), None),
        (View(BADLY, read_fraction=1.0, trouble="throttled"), BADLY_LINE),
        (View(Stats(), total=0), "0 read, 0 accepted, 0 rejected, 0 unknown, 0/s, 100%, 0:00 left"),
        (View(Stats(), read_fraction=0.5), "0 read, 0 accepted, 0 rejected, 0 unknown, 0/s, 0%"),
    ],
)
def test_a_moment_is_one_plain_line(view: View, expected: str | None) -> None:
    if expected is None:
        assert line(view).endswith("0%, 6:56:38 left")
    else:
        assert line(view) == expected


def test_a_moment_on_a_terminal_is_a_bar_and_the_counts() -> None:
    assert drawn(View(GOING, total=1_000_000)) == [
        "spring.csv ━━━━━━━━━━━━━━━━━                           200,000/s  40%  0:03 left",
        "500,000 read  400,000 accepted  0 rejected  0 unknown",
    ]


def test_a_moment_never_needs_more_than_80_columns() -> None:
    millions = Stats(read=99_000_000, accepted=99_000_000, rejected=99_000_000, unknown=99_000_000, elapsed=99_999.0)
    long = "a-very-long-name-of-a-file-that-somebody-exported.csv"
    lines = drawn(View(millions, total=1_000_000_000, trouble="throttled"), long)

    assert [text for text in lines if len(text) > 80] == []
    assert re.match("a-very-long-name-of-[a-z-]*… ", lines[0])


def test_without_a_length_the_time_so_far_is_shown() -> None:
    assert drawn(View(GOING))[0].endswith("200,000/s  0:02")


def test_what_is_bad_has_a_colour_as_soon_as_there_is_some() -> None:
    good, bad = drawn(View(GOING), color=True)[-1], drawn(View(BADLY, trouble="x"), color=True)
    joined = "\n".join(bad)

    assert ("\x1b[31m" in good, "\x1b[33m" in good) == (False, False)
    assert "\x1b[31m50,000 rejected" in joined
    assert "\x1b[33m40,000 unknown" in joined


def event(verdict: str, retry_in: float | None) -> AttemptEvent:
    return AttemptEvent("SendBulkMessages", Outcome.NOT_SENT, verdict, 429, 10, 0.1, 1, retry_in=retry_in)


def test_what_is_waited_for_is_forgotten_when_something_is_settled() -> None:
    trouble = Trouble()
    seen = []
    for verdict, retry_in in (("connect_failed", 0.5), ("accepted", None)):
        trouble(event(verdict, retry_in))
        seen.append(trouble.word)

    assert seen == ["connect failed", ""]


# Drawn again and again


class Ticks:
    """Instead of sleeping, counts, and lets a test know."""

    def __init__(self, wanted: int) -> None:
        self.slept: list[float] = []
        self.enough = asyncio.Event()
        self._wanted = wanted

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) >= self._wanted:
            self.enough.set()
            await asyncio.Event().wait()


@pytest.fixture
def ticks(monkeypatch) -> Ticks:
    found = Ticks(3)
    monkeypatch.setattr(progress, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": found.sleep}))
    return found


def screen(*, terminal: bool, **settings: Any) -> tuple[Screen, io.StringIO]:
    written = io.StringIO()
    console = Console(file=written, width=80, force_terminal=terminal, color_system=None, _environ={"TERM": "xterm"})
    return Screen(err=console, **settings), written


RUN: Any = SimpleNamespace(stats=GOING)


async def test_without_a_terminal_there_is_a_line_every_few_seconds(ticks: Ticks) -> None:
    shown, written = screen(terminal=False)
    async with Progress(shown, "spring.csv", RUN, total=1_000_000):
        await ticks.enough.wait()

    assert (ticks.slept, written.getvalue()) == ([5.0] * 3, f"{line(View(GOING, 1_000_000))}\n" * 2)


async def test_on_a_terminal_a_bar_moves_and_is_taken_away(ticks: Ticks) -> None:
    shown, written = screen(terminal=True)
    async with Progress(shown, "spring.csv", RUN, trouble=Trouble("throttled")):
        await ticks.enough.wait()
    text = written.getvalue()

    assert ticks.slept == [0.125] * 3
    assert text.count("waiting: throttled") == 4  # and once more as it ends
    assert text.startswith("\x1b[?25l")
    assert "\x1b[?25h" in text


async def test_hiding_gives_the_cursor_back_at_once(ticks: Ticks) -> None:
    shown, written = screen(terminal=True)
    async with Progress(shown, "spring.csv", RUN) as moving:
        moving.hide()
        moving.hide()
        hidden = written.getvalue()

    assert hidden.count("\x1b[?25h") == 1


async def test_quiet_draws_nothing(ticks: Ticks) -> None:
    shown, written = screen(terminal=True, quiet=True)
    async with Progress(shown, "spring.csv", RUN):
        pass

    assert (written.getvalue(), ticks.slept) == ("", [])
