"""The journal of a run that nobody means to resume from another process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import attrs

from mobiz_async.errors import JournalError
from mobiz_async.journal.protocol import (
    ChunkState,
    Event,
    Intent,
    Part,
    Recalled,
    Settlement,
    carve,
    check_identity,
    step,
)
from mobiz_async.journal.seals import Seal, first_difference, seal

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """Keeps the books in memory. Used twice in one process, it resumes like any other journal.

    It makes its seals on the event loop, some two or three milliseconds for 10,000 records; ``SQLiteJournal`` has a
    thread for that.

    ``resumable=False`` is what a run without a journal uses: it keeps neither bodies nor seals, and forgets a chunk
    once it is accepted, so that memory stays flat.
    """

    def __init__(self, *, resumable: bool = True) -> None:
        """Start empty."""
        self._resumable = resumable
        self._identity: dict[str, str] = {}
        self._open = False
        self._parts: dict[int, dict[int, Part]] = {}
        self._bodies: dict[tuple[int, int], bytes | bytearray] = {}
        self._seals: dict[int, Seal] = {}
        self._end: int | None = None

    async def open(self, identity: Mapping[str, str] | None) -> bool:
        """See ``Journal.open``."""
        if self._open:
            raise JournalError("the journal is in use by another run")
        if identity is not None:
            self._identity = check_identity(self._identity, identity)
        self._open = True
        for part in [part async for part in self.parts(ChunkState.INTENDED)]:
            self._put(attrs.evolve(part, state=step(part.state, Event.CRASH)))
        return bool(self._parts)

    def _in_chunk(self, index: int) -> list[Part]:
        chunk = self._parts.get(index, {})
        return [chunk[start] for start in sorted(chunk)]

    def _put(self, part: Part) -> None:
        self._parts.setdefault(part.index, {})[part.start] = part

    async def identity(self) -> Mapping[str, str]:
        """See ``Journal.identity``."""
        return dict(self._identity)

    async def recall(self, index: int, body: bytes | bytearray) -> Recalled | None:
        """See ``Journal.recall``."""
        parts = tuple(self._in_chunk(index)) if index in self._seals else ()
        return Recalled(parts, first_difference(self._seals[index], body)) if parts else None

    async def intend(self, intent: Intent) -> None:
        """See ``Journal.intend``."""
        if not self._open:
            raise JournalError("the journal is not open")
        key = intent.index, intent.start
        chunk = self._parts.get(intent.index, {})
        before = chunk.get(intent.start)
        if before is None or before.count != intent.count:
            before = None
            if chunk:
                dropped, added = carve(self._in_chunk(intent.index), intent)
                for part in dropped:
                    del chunk[part.start]
                    self._bodies.pop((part.index, part.start), None)
                for part in added:
                    self._put(part)
        state = step(before.state if before is not None else ChunkState.PENDING, Event.INTEND)
        if self._resumable:
            if intent.index not in self._seals:
                self._seals[intent.index] = seal(intent.body)
            self._bodies[key] = intent.body
        self._put(
            Part(
                index=intent.index,
                start=intent.start,
                count=intent.count,
                state=state,
                first_record=intent.rows[0][0],
                attempt_id=intent.attempt_id,
                attempts=(before.attempts if before is not None else 0) + 1,
                intended_at=intent.at,
                rows=intent.rows,
                has_body=self._resumable,
            )
        )

    async def settle(self, settlement: Settlement) -> bool:
        """See ``Journal.settle``."""
        key = settlement.index, settlement.start
        part = self._parts.get(settlement.index, {}).get(settlement.start)
        if part is None or part.attempt_id != settlement.attempt_id or part.state is not ChunkState.INTENDED:
            return False
        state = step(part.state, settlement.event)
        accepted = state is ChunkState.ACCEPTED
        if accepted:
            self._bodies.pop(key, None)
        if accepted and not self._resumable:
            del self._parts[settlement.index][settlement.start]
            if not self._parts[settlement.index]:
                del self._parts[settlement.index]
            return True
        self._put(
            attrs.evolve(
                part,
                state=state,
                status=settlement.status,
                reference=settlement.reference,
                settled_at=settlement.at,
                has_body=key in self._bodies,
            )
        )
        return True

    async def resolve(self, index: int, *, accepted: bool) -> int:
        """See ``Journal.resolve``."""
        event = Event.RESOLVE_ACCEPTED if accepted else Event.RESOLVE_NOT_SENT
        unknown = [part for part in self._in_chunk(index) if part.state is ChunkState.UNKNOWN]
        for part in unknown:
            key = part.index, part.start
            if accepted:
                self._bodies.pop(key, None)
            self._put(attrs.evolve(part, state=step(part.state, event), has_body=key in self._bodies))
        return sum(part.count for part in unknown)

    async def note_end(self, records: int) -> None:
        """See ``Journal.note_end``."""
        self._end = records

    async def end(self) -> int | None:
        """See ``Journal.end``."""
        return self._end

    async def parts(self, *states: ChunkState) -> AsyncIterator[Part]:
        """See ``Journal.parts``."""
        for index in sorted(self._parts):
            for part in self._in_chunk(index):
                if not states or part.state in states:
                    yield part

    async def body(self, index: int, start: int) -> bytes | None:
        """See ``Journal.body``."""
        body = self._bodies.get((index, start))
        return bytes(body) if body is not None else None

    async def close(self) -> None:
        """See ``Journal.close``."""
        self._open = False
