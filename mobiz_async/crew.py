"""The workers of a bulk run: how many at a time, and that the first one that sends anything does so alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Crew"]


class Crew:
    """Starts a worker for each chunk, and keeps those that still work or have failed."""

    def __init__(self, size: int, *, retired: Callable[[asyncio.Task[None]], None]) -> None:
        """At most ``size`` at a time. ``retired`` is told of each that is done, before its place is given away."""
        self.tasks: set[asyncio.Task[None]] = set()
        """Those that work, and those that raised something, to be looked at when the run is over."""
        self._places = asyncio.Semaphore(size)
        self._retired = retired
        self._first: asyncio.Task[None] | None = None

    async def place(self) -> None:
        """Wait until another worker may start.

        The first that sends anything goes alone: a wrong key or a wrong address then costs one request.
        """
        await self._places.acquire()
        if self._first is not None:
            await asyncio.wait([self._first])

    def start(self, work: Coroutine[Any, Any, None], *, sends: bool) -> None:
        """Start a worker in the place that was waited for. ``sends``: whether it is to make a request."""
        worker = asyncio.create_task(work, name="mobiz_async.worker")
        self.tasks.add(worker)
        worker.add_done_callback(self._retire)
        if sends and self._first is None:
            self._first = worker

    async def idle(self) -> None:
        """Wait until nobody works."""
        while busy := [worker for worker in self.tasks if not worker.done()]:
            await asyncio.wait(busy)

    def _retire(self, done: asyncio.Task[None]) -> None:
        if done.cancelled() or done.exception() is None:
            self.tasks.discard(done)
        self._retired(done)
        self._places.release()
