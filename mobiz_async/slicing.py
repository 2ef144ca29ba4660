"""Any iterable of records, in slices whose size keeps the event loop from being held for long.

A slice is at most 250 records, and fewer where they take long to read, check and encode, which is measured as it goes.

An async source may make us wait. So it is asked for no more than there is room for at the moment: what is full goes,
and does not wait for a record that it has no use for. And where the source does make us wait, what it gave is handed
over after a millisecond: a bad record is told of when it comes, and not when a slice is full.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
)
from itertools import islice
from typing import Any

from mobiz_async.errors import SourceError
from mobiz_async.logs import say
from mobiz_async.recipients.keyed import refuse_one_record
from mobiz_async.recipients.stages import LARGEST_SLICE
from mobiz_async.unseen import theirs

__all__ = ["LONGEST_HOLD", "Slices"]

LONGEST_HOLD = 0.001
"""Seconds after which the loop is let go, and of a single slice before slices get smaller."""


class Slices:
    """Reads any iterable in slices, and adapts their size to how long the loop was held for the last one."""

    def __init__(self, source: Iterable[Any] | AsyncIterable[Any]) -> None:
        """Take a sync or async iterable. Raises ``TypeError`` for anything else, or for a text or a mapping."""
        refuse_one_record(source)
        self._async: AsyncIterator[Any] | None = None
        self._sync: Iterator[Any] | None = None
        if isinstance(source, AsyncIterable):
            self._async = aiter(source)
        elif isinstance(source, Iterable):
            self._sync = iter(source)
        else:
            raise TypeError("records must be an iterable or an async iterable")
        self._size = LARGEST_SLICE
        self.read = 0
        """Records taken from the source so far."""
        self.error: SourceError | None = None
        """Set when the source raised; what it gave before is still handed over."""
        self.left: list[Any] = []
        """Taken from the source and not handed over, as the reading was cancelled.

        Here from the first on, and in no frame: a ``TimeoutError`` shows those of the ``CancelledError`` that it was.
        """

    @property
    def is_async(self) -> bool:
        """Whether the source may suspend while it is read."""
        return self._async is not None

    async def next(self, room: int) -> list[Any]:
        """Return the next slice; an empty one is the end. A source that raises ends early, with ``error`` set.

        An async source is asked for ``room`` records at most.
        """
        if self.error is not None:
            return []
        try:
            if self._sync is not None:
                # extend() keeps what the source gave before it raised.
                self.left.extend(islice(self._sync, self._size))
            else:
                await self._take_async(min(self._size, room))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Nobody cancelled this task: it is what the source waited for that was cancelled.
            self.error = self._failed(error)
        except Exception as error:  # noqa: BLE001  a source may raise anything; it is kept as the cause
            self.error = self._failed(error)
        finally:
            self.read += len(self.left)
        taken, self.left = self.left, []
        return taken

    def _failed(self, error: BaseException) -> SourceError:
        failure = SourceError(self.read + len(self.left) + 1, type(error).__name__)
        failure.__cause__ = theirs(error)
        return failure

    def fail(self, row: int, error: Exception) -> None:
        """End the source before the record of ``row``, which it gave, and which raised when it was looked at."""
        self.read = row - 1
        self.error = SourceError(row, type(error).__name__)
        self.error.__cause__ = error

    async def _take_async(self, most: int) -> None:
        task = asyncio.current_task()
        assert self._async is not None
        assert task is not None
        asked_to_end = task.cancelling()
        waited: list[bool] = []  # until the loop finds that it is time, so no clock is asked for each record
        alarm = asyncio.get_running_loop().call_later(LONGEST_HOLD, waited.append, True)
        try:
            for _ in range(most):
                self.left.append(await anext(self._async))
                if waited or task.cancelling() > asked_to_end:
                    break
        except StopAsyncIteration:
            pass
        finally:
            alarm.cancel()
        if task.cancelling() > asked_to_end:
            # The source has caught it: it would go on for however long, or what it calls its end is none.
            raise asyncio.CancelledError

    def held(self, seconds: float) -> None:
        """Take note of how long the loop was held for the last slice."""
        if seconds > LONGEST_HOLD:
            self._size = max(1, self._size // 2)
        elif seconds < LONGEST_HOLD / 4:
            self._size = min(LARGEST_SLICE, self._size * 2)

    async def aclose(self) -> None:
        """Close a generator that was not read to its end, so that its ``finally`` blocks run now.

        To be called in the task that has read it: blocks around a ``yield`` may be bound to their context or task.
        What they raise is logged by its type: something else has ended the reading, and is what the caller is to know.
        """
        # Only a generator: a file or a cursor has a close() too, and belongs to whoever opened it.
        try:
            if isinstance(self._async, AsyncGenerator):
                await self._async.aclose()
            elif isinstance(self._sync, Generator):
                self._sync.close()
        except Exception as error:  # noqa: BLE001  as in next()
            say(logging.WARNING, "the source of records raised %s as it was closed", type(error).__name__)
