"""Time as a value that is handed in, so that every decision about time can be tested without waiting."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What the client needs of time; ``mobiz_async.testing.FakeClock`` is the other implementation."""

    def monotonic(self) -> float:
        """Return seconds that never go back, for intervals and deadlines."""
        ...

    def wall(self) -> float:
        """Return seconds since the Unix epoch, for the journal and ``send_time``."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        ...


class SystemClock:
    """The machine's own clocks and asyncio's sleep."""

    def monotonic(self) -> float:
        """Return ``time.monotonic()``."""
        return time.monotonic()

    def wall(self) -> float:
        """Return ``time.time()``."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` of ``asyncio.sleep``."""
        await asyncio.sleep(seconds)
