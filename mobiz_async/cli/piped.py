"""Recipients from standard input, read by a thread of its own: a slow pipe must not hold the event loop."""

from __future__ import annotations

import asyncio
import io
import queue
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import Any, BinaryIO, TypeVar, cast

from mobiz_async.recipients.sources import Recipients
from mobiz_async.recipients.stages import LARGEST_SLICE

__all__ = ["Piped", "standard_input"]

T = TypeVar("T")

_BLOCK = 1 << 18


def standard_input() -> BinaryIO:
    """Return standard input as a stream of our own.

    A thread that is stuck in ``sys.stdin.buffer`` holds its lock, and with it the end of the interpreter.
    """
    try:
        descriptor = sys.stdin.fileno()
    except (OSError, ValueError, AttributeError):  # a test's, or none
        return sys.stdin.buffer
    raw = io.FileIO(descriptor, closefd=False)
    cast("Any", raw).name = "standard input"
    return io.BufferedReader(raw, _BLOCK)


class Piped:
    """Recipients that a thread opens and reads; an async iterable of records."""

    def __init__(self, opened: Callable[[], Recipients]) -> None:
        """``opened`` is called in the thread: to read a header may take as long as the pipe likes."""
        self._open = opened
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        # A daemon: a pipe that never says anything must not keep the process from ending.
        threading.Thread(target=self._work, name="mobiz-stdin", daemon=True).start()

    async def recipients(self) -> Recipients:
        """Open it and return what is known of it; raises what ``open_recipients`` raises."""
        return await self._ask(self._open)

    async def records(self, recipients: Recipients) -> AsyncIterator[Any]:
        """Yield the records."""
        source = iter(recipients)
        fault: Exception | None = None
        while fault is None:
            taken, fault = await self._ask(lambda: _slice_of(source))
            for record in taken:
                yield record
            if not taken:
                break
        if fault is not None:
            raise fault

    def close(self) -> None:
        """Let the thread end, once it is done reading."""
        self._jobs.put(None)

    async def _ask(self, job: Callable[[], T]) -> T:
        answer: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((job, answer))
        return await answer

    def _work(self) -> None:
        while (ordered := self._jobs.get()) is not None:
            job, answer = ordered
            result: Any = None
            error: Exception | None = None
            try:
                result = job()
            except Exception as raised:  # noqa: BLE001  # whatever it is, it belongs to whoever asked
                error = raised
            try:
                self._loop.call_soon_threadsafe(_deliver, answer, result, error)
            except RuntimeError:  # the loop has ended meanwhile
                return


def _slice_of(source: Iterator[Any]) -> tuple[list[Any], Exception | None]:
    """Return some records, and what kept the source from giving more."""
    taken: list[Any] = []
    try:
        taken.extend(islice(source, LARGEST_SLICE))  # keeps what came before an exception
    except Exception as error:  # noqa: BLE001  # it is raised where the records are wanted
        return taken, error
    return taken, None


def _deliver(answer: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if answer.done():  # nobody waits any more
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)
