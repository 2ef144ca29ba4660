"""A journal as a run uses it, whoever wrote it: what was begun ends, and what fails is a ``JournalError``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, TypeVar

from mobiz_async.cancelling import outlast
from mobiz_async.errors import JournalError
from mobiz_async.journal.protocol import ChunkState, Intent, Journal, Part, Recalled, Settlement
from mobiz_async.unseen import without_ours

__all__ = ["Guarded"]

T = TypeVar("T")


class Guarded:
    """Asks ``journal`` in a way that asks little of it.

    A call that was begun ends, also where the run is cancelled meanwhile: of a write that is broken off nobody knows
    whether it was made. (``parts`` alone, which writes nothing, may be left in the middle.)

    What it raises becomes a ``JournalError`` that names the type and no more: a database's own message may hold the row
    that it is about.
    """

    def __init__(self, journal: Journal) -> None:
        """Nothing is asked of it yet."""
        self._journal = journal

    async def open(self, identity: Mapping[str, str] | None) -> bool:
        """See ``Journal.open``. Cancelled, it leaves the journal closed."""
        opening = asyncio.ensure_future(_told(self._journal.open(identity)))
        cancelled = await outlast(opening)
        if cancelled is None:
            return opening.result()
        if opening.exception() is None:
            await self.close()
        raise cancelled

    async def identity(self) -> Mapping[str, str]:
        """See ``Journal.identity``."""
        return await _ended(self._journal.identity())

    async def recall(self, index: int, body: bytes | bytearray) -> Recalled | None:
        """See ``Journal.recall``."""
        asked = self._journal.recall(index, body)
        del body  # an exception carries this frame, and error trackers print its locals
        return await _ended(asked)

    async def intend(self, intent: Intent) -> None:
        """See ``Journal.intend``."""
        await _ended(self._journal.intend(intent))

    async def settle(self, settlement: Settlement) -> bool:
        """See ``Journal.settle``."""
        return await _ended(self._journal.settle(settlement))

    async def resolve(self, index: int, *, accepted: bool) -> int:
        """See ``Journal.resolve``."""
        return await _ended(self._journal.resolve(index, accepted=accepted))

    async def note_end(self, records: int) -> None:
        """See ``Journal.note_end``."""
        await _ended(self._journal.note_end(records))

    async def end(self) -> int | None:
        """See ``Journal.end``."""
        return await _ended(self._journal.end())

    async def parts(self, *states: ChunkState) -> AsyncIterator[Part]:
        """See ``Journal.parts``."""
        try:
            async for part in self._journal.parts(*states):
                yield part
        except Exception as error:  # noqa: BLE001  a journal may be anybody's
            failure = _failure(error)
        else:
            return
        raise failure

    async def body(self, index: int, start: int) -> bytes | None:
        """See ``Journal.body``."""
        return await _ended(self._journal.body(index, start))

    async def close(self) -> None:
        """See ``Journal.close``."""
        await _ended(self._journal.close())


async def _ended(call: Coroutine[Any, Any, T]) -> T:
    """Return what ``call`` returns; when this is cancelled, once it has ended."""
    task = asyncio.ensure_future(_told(call))
    cancelled = await outlast(task)
    if cancelled is not None:
        task.exception()  # the cancellation goes before it, and whoever cancelled wants nothing more of the journal
        raise cancelled
    return task.result()


async def _told(call: Coroutine[Any, Any, T]) -> T:
    try:
        return await call
    except Exception as error:  # noqa: BLE001  a journal may be anybody's
        failure = _failure(error)
    except asyncio.CancelledError:
        # No run cancels this task: what the journal waited for was cancelled, a connection of its own, say; or the loop
        # is at its end, which cancels all of its tasks, and the one that waits for this hears of it by itself.
        failure = JournalError("the journal was cancelled while it worked")
    raise failure


def _failure(error: Exception) -> JournalError:
    if isinstance(error, JournalError):
        return without_ours(error)  # a journal of ours has the records in its frames
    return JournalError(f"the journal raised {type(error).__name__}")
