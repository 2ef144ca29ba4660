"""How long an attempt may take, and silence may last. Time in which this process stood still is nobody's silence.

A process that is stopped, or a container that is paused, finds its timers due when it goes on, and the answers that
came in between unread. The timers would go first: ``epoll_wait`` says nothing of them once it was interrupted, and
other loops look at their timers before they read in any case. All that was in flight would be unknown. So where the
alarm comes late, it is looked once more.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from mobiz_async.models import Timeouts

__all__ = ["Patience"]

_LATE = 4
"""The part of the time for an answer by which an alarm may be late, and for which is looked once more where it is."""


class Patience:
    """Ends its block by a ``TimeoutError``: after ``total`` seconds, or ``read`` seconds after the last ``heard``."""

    def __init__(self, timeouts: Timeouts) -> None:
        """Nothing runs before the block."""
        self._loop = asyncio.get_running_loop()
        self._read = timeouts.read
        self._total = timeouts.total
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # asyncio.timeout asks for one as well
        self._task, self._cancelled_before = task, task.cancelling()
        await self._limit.__aenter__()
        self._due = self._end = self._loop.time() + self._total
        self._look_at(self._due)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alarm.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def heard(self) -> None:
        """Begin to wait for an answer, or for more of it."""
        self._due = min(self._end, self._loop.time() + self._read)
        if self._due < self._look:
            self._alarm.cancel()
            self._look_at(self._due)

    def ran_out(self) -> bool:
        """Whether a ``CancelledError`` in the block is of the time that is over, and of nobody else."""
        return self._limit.expired() and self._task.cancelling() == self._cancelled_before + 1

    def _look_at(self, when: float) -> None:
        self._look = when
        self._alarm = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        now, slack = self._loop.time(), self._read / _LATE
        if now - self._look > slack:
            self._due = max(self._due, now + slack)
        if self._look < self._due:  # and not now: loops ring a moment early
            self._look_at(self._due)
        else:
            self._limit.reschedule(now)
