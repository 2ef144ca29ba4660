"""A clock that stands still until it is told to go on, or that leaps whenever everybody waits for it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import weakref
from collections.abc import Collection
from typing import Any

__all__ = ["FakeClock"]

_TURNS = 100
"""In a row, in which every task waits, after which a loop that does not show what is ready counts as idle."""
_MOST_TURNS = 1_000_000

_polls: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, int] = weakref.WeakKeyDictionary()
"""How many of the things that are ready to run in a loop are clocks looking whether anything else is."""
_settling: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
"""The tasks among them."""
_waking: weakref.WeakSet[asyncio.TimerHandle] = weakref.WeakSet()
"""The ends of clocks' grace: several may be due at once, and none of them is anything that goes on."""


class FakeClock:
    """A ``Clock`` for tests: nothing sleeps for real, and the same test takes the same steps each time.

    By hand, with ``advance``::

        clock = FakeClock()
        task = asyncio.create_task(something_that_sleeps(clock))
        await clock.advance(30)

    Or by itself: with ``auto=True`` it leaps to the next due time whenever no task can go on, so that ten minutes of
    retries pass in a few milliseconds. What waits for a thread or a socket also looks like waiting, so where those are
    in play give ``grace``, the real seconds that the loop has to stay idle before each leap.

    Loops other than asyncio's own, such as uvloop's, do not show what is ready to run; there the clock goes by their
    tasks, and may leap over a chain of mere callbacks (``loop.call_soon``).

    Only sleeps that were asked of this clock are fake. Timeouts of asyncio itself (``asyncio.timeout``,
    ``loop.call_later``) go by real time.
    """

    def __init__(
        self, *, auto: bool = False, grace: float = 0.0, start: float = 0.0, wall: float = 1_750_000_000.0
    ) -> None:
        """Begin at ``start`` seconds of monotonic time and at ``wall`` seconds since the Unix epoch."""
        self._now = start
        self._wall_ahead = wall - start
        self._auto = auto
        self._grace = grace
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._watching = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.sleeps: list[float] = []
        """Every sleep that was asked for, in seconds and in order, finished or not."""

    def __repr__(self) -> str:
        return f"<FakeClock at {self._now:g} s, {self.sleepers} asleep>"

    def monotonic(self) -> float:
        """Return the clock's own seconds; they never go back."""
        return self._now

    def wall(self) -> float:
        """Return seconds since the Unix epoch; they go along with ``monotonic``, but for ``shift_wall``."""
        return self._now + self._wall_ahead

    def shift_wall(self, seconds: float) -> None:
        """Set the wall clock forward (or back, when negative) and leave the monotonic one alone, as an admin would."""
        self._wall_ahead += seconds

    async def sleep(self, seconds: float) -> None:
        """Return when the clock has gone on by ``seconds``; 0 or less gives other tasks a turn."""
        self.sleeps.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = self._here()
        future: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        if self._auto:
            self._watch(loop)
        await future

    def _here(self) -> asyncio.AbstractEventLoop:
        """Return the running loop; what slept in an earlier one sleeps no more, and the time goes on from there."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._sleepers.clear()
            self._watching = False
        return loop

    @property
    def sleepers(self) -> int:
        """How many sleeps are not over."""
        return sum(not future.done() for _, _, future in self._sleepers)

    @property
    def next_due(self) -> float | None:
        """The monotonic time at which the next sleep is over, or None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)  # cancelled
        return self._sleepers[0][0] if self._sleepers else None

    async def settle(self) -> None:
        """Return when every other task waits for something: for this clock, a future, a thread or a socket."""
        loop = self._here()
        task = asyncio.current_task()
        assert task is not None
        _count_poll(loop, 1)
        _settling.add(task)
        try:
            turns = 0
            for _ in range(_MOST_TURNS):
                await asyncio.sleep(0)
                turns = _turns_waited(loop, turns)
                if self._idle(loop, turns):
                    return
        finally:
            _settling.discard(task)
            _count_poll(loop, -1)
        raise RuntimeError("a task goes on and on without waiting for anything")

    async def advance(self, seconds: float) -> None:
        """Go on by ``seconds``, stopping at each due time on the way until every task woken by it waits again."""
        if self._auto:
            raise RuntimeError("this FakeClock goes on by itself; make it without auto=True to advance it by hand")
        if seconds < 0:
            raise ValueError("time does not go back")
        target = self._now + seconds
        await self.settle()
        while (due := self.next_due) is not None and due <= target:
            self._leap(due)
            await self.settle()
        self._now = max(self._now, target)

    def _leap(self, due: float) -> None:
        self._now = max(self._now, due)
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    def _watch(self, loop: asyncio.AbstractEventLoop, turns: int = 0) -> None:
        if not self._watching:
            self._watching = True
            _count_poll(loop, 1)
            loop.call_soon(self._look, loop, turns)

    def _look(self, loop: asyncio.AbstractEventLoop, turns: int) -> None:
        turns = _turns_waited(loop, turns)
        idle = self._idle(loop, turns)
        _count_poll(loop, -1)
        self._watching = False
        if not idle:
            self._watch(loop, turns)
        elif self._grace > 0:
            self._watching = True
            _waking.add(loop.call_later(self._grace, self._look_again, loop))
        else:
            self._next(loop)

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watching = False
        ready = _ready(loop)
        if not _all_wait(loop) if ready is None else any(handle not in _waking for handle in ready):
            self._watch(loop)
        else:
            self._next(loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        if (due := self.next_due) is not None:
            self._leap(due)
            self._watch(loop)

    def _idle(self, loop: asyncio.AbstractEventLoop, turns: int) -> bool:
        """Whether nothing but the polling of clocks is ready to run; ``turns`` in a row every task has waited."""
        ready = _ready(loop)
        return turns > _TURNS if ready is None else len(ready) < _polls[loop]


def _ready(loop: asyncio.AbstractEventLoop) -> Collection[object] | None:
    """Return what is ready to run, which asyncio's own loops show."""
    return getattr(loop, "_ready", None)


def _turns_waited(loop: asyncio.AbstractEventLoop, turns: int) -> int:
    return turns + 1 if _ready(loop) is not None or _all_wait(loop) else 0


def _all_wait(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether every task, but for clocks that look, waits for a future that is not done."""
    waits_for = [getattr(task, "_fut_waiter", None) for task in asyncio.all_tasks(loop) if task not in _settling]
    return all(future is not None and not future.done() for future in waits_for)


def _count_poll(loop: asyncio.AbstractEventLoop, change: int) -> None:
    _polls[loop] = _polls.get(loop, 0) + change
