"""Resuming: what to do with each chunk, by what earlier runs left of it in the journal, if the source is the same."""

from __future__ import annotations

import enum
import itertools
import sys
from collections.abc import Iterator, Mapping

import attrs

from mobiz_async.chunking import Chunk
from mobiz_async.errors import JournalError, SourceChangedError
from mobiz_async.journal.protocol import ChunkState, Journal, Part, Recalled
from mobiz_async.late_optouts import LateOptOuts
from mobiz_async.recipients.stages import Problem

__all__ = ["Earlier", "Fate", "Step", "plan"]


class Fate(enum.Enum):
    """What a run does with records that an earlier one had put into a chunk."""

    SEND = "send"
    SEND_IN_DOUBT = "send, although they may have been applied"
    KEEP = "settle them as they are known"
    KEEP_IN_DOUBT = "leave them unknown, although unknowns are sent again, as one of them must not go any more"
    WITHHOLD = "leave them out from now on"

    @property
    def goes(self) -> bool:
        """Whether it means a request."""
        return self in (Fate.SEND, Fate.SEND_IN_DOUBT)


@attrs.frozen
class Step:
    """Records ``start`` to ``start + count`` of a chunk, from 0, which are, or are within, one known ``part``."""

    start: int
    count: int
    fate: Fate
    part: Part
    late: Problem | None = None
    """Why one record is withheld."""


def plan(known: tuple[Part, ...], late: Mapping[int, Problem], *, resend_unknown: bool) -> tuple[Step, ...]:
    """Return the steps for a chunk of which earlier runs left the parts ``known``; no steps where they left none.

    ``late``: records that must not go any more, by their places in the chunk, from 0. They are cut out of what is to be
    sent. A part that is unknown is not cut: the outcome of a later attempt could then be told for none of its pieces.
    It stays unknown as a whole. An intent without an outcome counts as unknown; a journal should have made it so when
    it was opened.
    """
    steps: list[Step] = []
    for part in known:
        places = sorted(place for place in late if part.start <= place < part.start + part.count)
        match part.state:
            case ChunkState.PENDING:
                steps.extend(_around({place: late[place] for place in places}, part))
            case ChunkState.UNKNOWN | ChunkState.INTENDED if resend_unknown:
                fate = Fate.KEEP_IN_DOUBT if places else Fate.SEND_IN_DOUBT
                steps.append(Step(part.start, part.count, fate, part))
            case _:
                steps.append(Step(part.start, part.count, Fate.KEEP, part))
    return tuple(steps)


def _around(late: Mapping[int, Problem], part: Part) -> Iterator[Step]:
    """Yield a part that is to be sent, cut at the places of ``late``, which are in order."""
    at = part.start
    for place, problem in late.items():
        if at < place:
            yield Step(at, place - at, Fate.SEND, part)
        yield Step(place, 1, Fate.WITHHOLD, part, problem)
        at = place + 1
    if at < part.start + part.count:
        yield Step(at, part.start + part.count - at, Fate.SEND, part)


class Earlier:
    """What a journal holds when a run begins. Of a new run there is nothing, and nothing is asked."""

    def __init__(self, journal: Journal, late: LateOptOuts, *, resend_unknown: bool) -> None:
        """``late`` is told which rows are in a chunk. Nothing is asked of ``journal`` before ``open``."""
        self._journal = journal
        self._late = late
        self._resend_unknown = resend_unknown
        self._resuming = False
        self._last = -1
        """The index of the last chunk that an earlier run may have come to."""
        self._end: int | None = None
        self._moved = False
        """Whether the source was found to be another: then records may stand elsewhere than an earlier run had them."""

    async def open(self, identity: Mapping[str, str]) -> None:
        """Open the journal for the run of this ``identity``. Raises ``JournalError``."""
        self._resuming = await self._journal.open(identity)
        if self._resuming:
            self._last = sys.maxsize  # as long as nobody has looked, any chunk may have been sent

    async def look(self) -> None:
        """Find out how far it goes. Raises ``JournalError``."""
        if self._resuming:
            self._last = -1
            async for part in self._journal.parts():
                self._last = max(self._last, part.index)
                self._late.note(part)
            self._end = await self._journal.end()

    def covers(self, chunk: Chunk) -> bool:
        """Whether an earlier run may have come to this chunk."""
        return chunk.index <= self._last

    async def steps_of(self, chunk: Chunk) -> tuple[Step, ...]:
        """Return what to do with a chunk, by what became of it so far; nothing where no run has sent it.

        Raises ``SourceChangedError`` where it is not the same chunk, ``JournalError``.
        """
        late = self._late.within(chunk.rows)
        known = await self._parts_of(chunk, late)
        self._late.forget(late.values())
        return plan(known, late, resend_unknown=self._resend_unknown)

    async def _parts_of(self, chunk: Chunk, late: Mapping[int, Problem]) -> tuple[Part, ...]:
        if self._end is not None and sum(chunk.rows[-1]) > self._end + 1:
            raise self._changed_at(self._end + 1)
        known = await self._journal.recall(chunk.index, chunk.body) if self.covers(chunk) else None
        if known is None:
            if late:  # they were in a chunk, and this is none: the rows have moved
                raise self._changed_at(min(problem.row for problem in late.values()))
            return ()
        if known.differs is not None:
            raise self._changed_at(_row_at(chunk, known.differs))
        return known.parts

    def _changed_at(self, row: int) -> SourceChangedError:
        """Return the error that says so, and remember it. What is merely added behind the end moves nothing."""
        self._moved = self._moved or self._end is None or row <= self._end
        return SourceChangedError(row)

    async def steps_within(self, chunk: Chunk) -> tuple[Step, ...]:
        """Return the steps for a chunk whose reading was broken off, so that it may be the beginning of a known one.

        They hold as far as the records are the same; what comes after is pending. It is unknown where the source has
        changed, as it may have gone from another place; and all of a chunk is that the journal cannot be asked about.
        """
        recalled: Recalled | None = None
        if self.covers(chunk):
            try:
                recalled = await self._journal.recall(chunk.index, chunk.body)
            except JournalError:
                return self._plan(_within(None, chunk, ChunkState.UNKNOWN))
        if recalled is not None and (same := _same(recalled, chunk)) < chunk.count:
            self._changed_at(_row_at(chunk, same))
        if self._moved:
            return self._plan(_within(recalled, chunk, ChunkState.UNKNOWN))
        return self._plan(_within(recalled, chunk, ChunkState.PENDING))

    def _plan(self, known: tuple[Part, ...]) -> tuple[Step, ...]:
        return plan(known, {}, resend_unknown=self._resend_unknown)

    async def check_whole(self, read: int, chunks: int) -> None:
        """Raise ``SourceChangedError`` where an earlier run had more records, or chunks, than there are now.

        There may be fewer chunks of as many records: where more of them are held back than were then.
        """
        if not self._resuming:
            return
        async for part in self._journal.parts():
            if part.index >= chunks or part.first_record > read:
                raise self._changed_at(min(part.first_record, read + 1))
        if self._end is not None and self._end != read:
            raise self._changed_at(min(self._end, read) + 1)


def _row_at(chunk: Chunk, place: int) -> int:
    """Return the row of the record at ``place``, from 0; the row behind the last where there is none."""
    rows = (row for first, length in chunk.rows for row in range(first, first + length))
    return next(itertools.islice(rows, place, None), sum(chunk.rows[-1]))


def _same(recalled: Recalled | None, chunk: Chunk) -> int:
    """Return how many records of a chunk, from its first on, are those that an earlier run had in it."""
    if recalled is None:
        return 0
    return chunk.count if recalled.differs is None else min(chunk.count, recalled.differs)


def _within(recalled: Recalled | None, chunk: Chunk, rest: ChunkState) -> tuple[Part, ...]:
    """Return what is known of a chunk that was read in part; ``rest``: the state of what the journal has no part of."""
    same = _same(recalled, chunk)
    earlier = recalled.parts if recalled is not None else ()
    known = [attrs.evolve(part, count=min(part.count, same - part.start)) for part in earlier if part.start < same]
    if same < chunk.count:
        known.append(Part(chunk.index, same, chunk.count - same, rest, _row_at(chunk, same)))
    return tuple(known)
