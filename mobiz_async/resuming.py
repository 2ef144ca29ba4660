"""What earlier runs on the same journal left, asked chunk by chunk, and whether the source is still the same."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable

import attrs

from mobiz_async.chunking import Chunk
from mobiz_async.errors import JournalError, SourceChangedError
from mobiz_async.journal.protocol import ChunkState, Journal, Part, Recalled

__all__ = ["Earlier", "to_send"]


def to_send(count: int, known: Iterable[Part], *, resend_unknown: bool) -> int:
    """Return how many of a chunk's ``count`` records are to go out; ``known``: what earlier runs made of it."""
    goes = {ChunkState.PENDING, ChunkState.INTENDED} | ({ChunkState.UNKNOWN} if resend_unknown else set())
    parts = list(known)
    return sum(part.count for part in parts if part.state in goes) if parts else count


class Earlier:
    """What a journal holds when a run begins. Of a new run there is nothing, and nothing is asked."""

    def __init__(self, journal: Journal, *, resuming: bool) -> None:
        """``resuming``: what ``journal.open`` returned."""
        self._journal = journal
        self._resuming = resuming
        self._last = sys.maxsize if resuming else -1  # as long as nobody has looked, any chunk may have been sent
        self._end: int | None = None

    async def look(self) -> None:
        """Find out how far it goes. Raises ``JournalError``."""
        if self._resuming:
            self._last = max([part.index async for part in self._journal.parts()], default=-1)
            self._end = await self._journal.end()

    def covers(self, chunk: Chunk) -> bool:
        """Whether an earlier run may have come to this chunk."""
        return chunk.index <= self._last

    async def parts_of(self, chunk: Chunk) -> tuple[Part, ...]:
        """Return what became of a chunk so far; nothing where no run has sent it.

        Raises ``SourceChangedError`` where it is not the same chunk, ``JournalError``.
        """
        if self._end is not None and sum(chunk.rows[-1]) > self._end + 1:
            raise SourceChangedError(self._end + 1)
        known = await self._journal.recall(chunk.index, chunk.body) if self.covers(chunk) else None
        if known is None:
            return ()
        if known.differs is not None:
            rows = (row for first, length in chunk.rows for row in range(first, first + length))
            after = sum(chunk.rows[-1])
            raise SourceChangedError(next(itertools.islice(rows, known.differs, None), after))
        return known.parts

    async def parts_within(self, chunk: Chunk) -> tuple[Part, ...]:
        """Return what became of a chunk that was read in part only, as far as it holds what was sent then.

        Where the journal cannot be asked any more, all of it is unknown that an earlier run may have sent.
        """
        if not self.covers(chunk):
            return ()
        try:
            recalled = await self._journal.recall(chunk.index, chunk.body)
        except JournalError:
            return (Part(chunk.index, 0, chunk.count, ChunkState.UNKNOWN, chunk.first_record),)
        return _within(recalled, chunk)

    async def check_whole(self, read: int, chunks: int) -> None:
        """Raise ``SourceChangedError`` where an earlier run had more records, or chunks, than there are now.

        There may be fewer chunks of as many records: where more of them are held back than were then.
        """
        if not self._resuming:
            return
        async for part in self._journal.parts():
            if part.index >= chunks or part.first_record > read:
                raise SourceChangedError(min(part.first_record, read + 1))
        if self._end is not None and self._end != read:
            raise SourceChangedError(min(self._end, read) + 1)


def _within(recalled: Recalled | None, chunk: Chunk) -> tuple[Part, ...]:
    if recalled is None:
        return ()
    same = chunk.count if recalled.differs is None else min(chunk.count, recalled.differs)
    known = [
        attrs.evolve(part, count=min(part.count, same - part.start)) for part in recalled.parts if part.start < same
    ]
    if same < chunk.count:
        known.append(Part(chunk.index, same, chunk.count - same, ChunkState.PENDING, chunk.first_record))
    return tuple(known)
