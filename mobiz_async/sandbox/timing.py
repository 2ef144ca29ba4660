"""What the sandbox needs of time, handed in so that tests need not wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Progress", "SandboxClock", "SystemTime"]


class SandboxClock(Protocol):
    """Seconds that never go back, seconds since the Unix epoch, and a sleep; the client's clocks fit too."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def wall(self) -> float:
        """Return seconds since the Unix epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        ...


class SystemTime:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        """Return ``time.monotonic()``."""
        return time.monotonic()

    def wall(self) -> float:
        """Return ``time.time()``."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        await asyncio.sleep(seconds)


class Progress:
    """Lets tests wait instead of sleeping: ``until`` for arrivals, ``hold`` and ``release`` for faults."""

    def __init__(self, clock: SandboxClock) -> None:
        """Measure delays by ``clock``."""
        self.held = 0
        self._clock = clock
        self._holds: dict[asyncio.BaseTransport, asyncio.Event] = {}
        self._watchers: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    async def hold(self, peer: asyncio.BaseTransport, seconds: float | None) -> None:
        """Wait ``seconds``, or for ever when None, or until ``release``, or until ``peer`` has gone: what is first."""
        over = self._holds[peer] = asyncio.Event()  # a connection has one request at a time
        if peer.is_closing():
            over.set()
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(over.wait())]
        if seconds is not None:
            waits.append(asyncio.ensure_future(self._clock.sleep(seconds)))
        self.held += 1
        self.changed()
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.held -= 1
            del self._holds[peer]
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def release(self) -> None:
        """End every ``hold`` of the moment; later ones hold again."""
        for over in self._holds.values():
            over.set()

    def gone(self, peer: asyncio.BaseTransport | None) -> None:
        """End the ``hold`` of a peer that has closed its connection: nobody is left to be answered."""
        if peer is not None and peer in self._holds:
            self._holds[peer].set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as ``condition()`` holds."""
        if condition():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.append((condition, future))
        await future

    def changed(self) -> None:
        """Ask every waiting condition again."""
        waiting = []
        for condition, future in self._watchers:
            if not future.done() and condition():
                future.set_result(None)
            if not future.done():
                waiting.append((condition, future))
        self._watchers = waiting
