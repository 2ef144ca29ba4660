"""From a client's first use to its end: who may begin, what is under way, and how it is ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from mobiz_async.delivery import Deliverer
from mobiz_async.transport import AiohttpTransport

__all__ = ["Lifetime", "Stoppable"]

_LAST_WORD = 0.1  # seconds that what was cut off has to tell its callers


class Stoppable(Protocol):
    """What goes on by itself once begun, and can be told to begin nothing more."""

    def stop(self) -> None:
        """Begin nothing more; end what is under way."""


class Lifetime:
    """Counts what is under way. One process, one event loop, and one end."""

    def __init__(self, deliverer: Deliverer) -> None:
        """Nothing is under way yet, and no event loop is known."""
        self.closing = False
        """Whether ``aclose`` was called."""
        self._deliverer = deliverer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()
        self._under_way: set[object] = set()
        self._idle: asyncio.Future[None] | None = None
        self._stoppable: set[Stoppable] = set()

    @property
    def used(self) -> bool:
        """Whether anything was ever begun."""
        return self._loop is not None

    def check(self) -> None:
        """Raise ``RuntimeError`` where nothing may begin: a closed client or session, another process or loop."""
        if self.closing:
            raise RuntimeError("this client is closed")
        if self._process != os.getpid():
            raise RuntimeError("this client was made in another process: make one in each process, after the fork")
        loop = _running_loop()
        if self._loop is not None and self._loop is not loop:
            raise RuntimeError("this client is used from another event loop than before: make one for each loop")
        transport = self._deliverer.transport
        if isinstance(transport, AiohttpTransport):
            transport.check()
        self._loop = loop

    @contextmanager
    def operation(self) -> Iterator[Callable[[bool], None]]:
        """Count an operation while the block lasts; raises what ``check`` raises.

        The block is given a function. A block that only waits for its caller calls it with False, so that closing the
        client does not wait for the block, and with True when something is under way again.
        """
        self.check()
        operation = object()
        self._count(operation, True)
        try:
            yield partial(self._count, operation)
        finally:
            self._count(operation, False)

    def _count(self, operation: object, under_way: bool) -> None:
        if under_way:
            self._under_way.add(operation)
            return
        self._under_way.discard(operation)
        if not self._under_way and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    @contextmanager
    def stopping(self, stoppable: Stoppable) -> Iterator[None]:
        """See to it that ``stoppable`` is told when the client closes while the block lasts."""
        self._stoppable.add(stoppable)
        try:
            yield
        finally:
            self._stoppable.discard(stoppable)

    async def aclose(self, timeout: float) -> None:  # noqa: ASYNC109  what is cut off is not this call
        """Begin nothing new, wait ``timeout`` seconds for what is under way, and cut off the rest.

        Raises ``RuntimeError`` in another event loop than the client's, unless that one is closed.
        """
        loop = _running_loop()
        if self._loop not in (None, loop) and not self._loop.is_closed():
            raise RuntimeError("this client is closed from another event loop than it is used in: close it there")
        self.closing = True
        if self._loop not in (None, loop):
            # What was under way ended with its loop. This may even be its end: a coroutine that is collected while
            # another loop runs, in a task that is none of its own.
            await self._deliverer.aclose()
            return
        for stoppable in self._stoppable:
            stoppable.stop()
        try:
            await self._quiet(timeout)
        finally:
            await self._deliverer.aclose()
        # Their verdicts are known by now; their callers have them before the loop is perhaps closed over them.
        await self._quiet(_LAST_WORD)

    async def _quiet(self, seconds: float) -> None:
        # asyncio.timeout() would cancel the current task, which is not this one where a coroutine is being collected.
        if self._under_way:
            if self._idle is None or self._idle.done():
                self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._idle], timeout=seconds)


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("mobiz_async runs on asyncio, and no event loop of asyncio is running here") from None
