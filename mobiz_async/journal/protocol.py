"""What a journal is: the memory of a bulk run that outlives it, and the states a chunk goes through.

A journal is told of an *intent* before the first byte of a request goes out, and of the *outcome* afterwards. What it
holds after a crash is therefore a superset of what the server may have seen, and resuming from it never sends anything
twice unasked. The protocol is asynchronous and knows nothing of SQLite: a journal in a database server implements the
same methods. One run uses a journal at a time.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from mobiz_async.errors import JournalError
from mobiz_async.models import Outcome
from mobiz_async.recipients.intake import SUPPRESSION

__all__ = [
    "LIFE",
    "ChunkState",
    "Event",
    "Intent",
    "Journal",
    "JournalSummary",
    "Part",
    "Recalled",
    "Settlement",
    "carve",
    "check_identity",
    "event_of",
    "step",
    "summarize",
]


class ChunkState(enum.StrEnum):
    """Where a chunk, or a part of a split one, stands."""

    PENDING = "pending"
    """Not sent, or provably not applied: it may go."""
    INTENDED = "intended"
    """A durable intent exists; a byte may be out."""
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class Event(enum.StrEnum):
    """What moves a chunk from state to state."""

    INTEND = "intend"
    ACCEPT = "accepted"
    REJECT = "rejected"
    NOT_SENT = "not sent"
    LOSE = "outcome unknown"
    CRASH = "crash"
    HALVE = "rejected, to be halved"
    RESOLVE_ACCEPTED = "resolved: accepted"
    RESOLVE_NOT_SENT = "resolved: not sent"


LIFE: Mapping[tuple[ChunkState, Event], ChunkState] = {
    (ChunkState.PENDING, Event.INTEND): ChunkState.INTENDED,
    (ChunkState.INTENDED, Event.ACCEPT): ChunkState.ACCEPTED,
    (ChunkState.INTENDED, Event.REJECT): ChunkState.REJECTED,
    (ChunkState.INTENDED, Event.NOT_SENT): ChunkState.PENDING,
    (ChunkState.INTENDED, Event.LOSE): ChunkState.UNKNOWN,
    (ChunkState.INTENDED, Event.CRASH): ChunkState.UNKNOWN,
    (ChunkState.INTENDED, Event.HALVE): ChunkState.PENDING,
    (ChunkState.UNKNOWN, Event.INTEND): ChunkState.INTENDED,
    (ChunkState.UNKNOWN, Event.RESOLVE_ACCEPTED): ChunkState.ACCEPTED,
    (ChunkState.UNKNOWN, Event.RESOLVE_NOT_SENT): ChunkState.PENDING,
}
"""The life of a chunk. What is not in it cannot happen. UNKNOWN goes out again only under ``OnUnknown.RESEND``."""

_EVENT_OF = {
    Outcome.ACCEPTED: Event.ACCEPT,
    Outcome.REJECTED: Event.REJECT,
    Outcome.NOT_SENT: Event.NOT_SENT,
    Outcome.UNKNOWN: Event.LOSE,
}


def event_of(outcome: Outcome) -> Event:
    """Return the event that an attempt with ``outcome`` is."""
    return _EVENT_OF[outcome]


def step(state: ChunkState, event: Event) -> ChunkState:
    """Return the state after ``event``; raise ``JournalError`` where the life of a chunk has no such step."""
    try:
        return LIFE[state, event]
    except KeyError:
        raise JournalError(f"in the life of a chunk, {state.value!r} is not followed by {event.value!r}") from None


@attrs.frozen
class Part:
    """A chunk, or after a split a part of it: records ``start`` to ``start + count`` of chunk ``index``, from 0."""

    index: int
    start: int
    count: int
    state: ChunkState
    first_record: int
    """Row of the part's first record in the source, from 1."""
    attempt_id: str | None = None
    attempts: int = 0
    status: int | None = None
    reference: str | None = None
    intended_at: float | None = None
    """When its latest attempt was intended, in seconds since the epoch."""
    settled_at: float | None = None
    """When an outcome was written, in seconds since the epoch."""
    rows: tuple[tuple[int, int], ...] = ()
    """(first row, length) of each unbroken run of source rows."""
    has_body: bool = False


@attrs.frozen(eq=False)
class Intent:
    """What is written before byte one. ``rows`` are those of the part, ``body`` its encoded records."""

    index: int
    start: int
    count: int
    rows: tuple[tuple[int, int], ...]
    attempt_id: str
    at: float
    """Seconds since the epoch."""
    body: bytes | bytearray = attrs.field(repr=False)


@attrs.frozen
class Settlement:
    """What is written after an attempt. ``attempt_id`` fences: a later attempt makes it void."""

    index: int
    start: int
    attempt_id: str
    event: Event
    at: float
    """Seconds since the epoch."""
    status: int | None = None
    reference: str | None = None


@attrs.frozen
class Recalled:
    """What an earlier run left of a chunk: its parts in order, and the first record that differs now, from 0."""

    parts: tuple[Part, ...]
    differs: int | None = None


@attrs.frozen
class JournalSummary:
    """Counts by state, and ``low_water``: every record up to it, in order of the source, is settled."""

    records: Mapping[ChunkState, int] = attrs.field(hash=False)
    chunks: int = 0
    low_water: int = 0


class Journal(Protocol):
    """Where a run writes down what it does. Every method raises ``JournalError`` when it cannot do its work.

    What a run may rely on, and a journal on a run:

    * A write is made as a whole or not at all, and durable before its method returns: it survives the process, and what
      the journal is kept on losing its power.
    * Methods are called side by side: one chunk is recalled while others are intended and settled.
    * A run lets each call end, also when it is cancelled meanwhile; only ``parts`` may be left in the middle. So each
      has to end by itself, and soon: a database that does not answer is a ``JournalError`` after a while.
    * After a ``JournalError`` nothing more is intended. What is in flight is still settled, as far as the journal takes
      it, chunks that were read are recalled, and it is closed.
    * The message of a ``JournalError`` is shown and logged: it must hold nothing of a record. Anything else that a
      method raises becomes a ``JournalError`` with the name of its type.
    """

    async def open(self, identity: Mapping[str, str] | None) -> bool:
        """Open for one run, exclusively; return whether it holds a part of any chunk.

        ``identity`` says what the run is (list, chunk size, each check); a journal of another one is refused
        (``check_identity``). None opens it to look and to resolve only; one that no run has used
        refuses, or is empty.

        Whoever opens it second is refused at once, with or without an identity, until it is closed or its holder gone.
        An intent without an outcome becomes unknown here: its run has ended. After this has raised, ``close`` is not
        called.
        """
        ...

    async def identity(self) -> Mapping[str, str]:
        """Return what the run is, as ``open`` was told; empty where no run has used the journal yet."""
        ...

    async def recall(self, index: int, body: bytes | bytearray) -> Recalled | None:
        """Return what an earlier run left of chunk ``index``, compared with ``body``; None when nothing.

        ``seal`` and ``first_difference`` take some milliseconds for 10,000 records: they belong into a thread.
        """
        ...

    async def intend(self, intent: Intent) -> None:
        """Make ``intent`` durable, with its body, before returning.

        The first intent of a chunk is for the whole of it. A later one is for a part as it is, pending or unknown, or
        for any range whose parts are pending: they are cut anew, so that the range is one part (``carve``), and the
        pieces beside it have neither a body nor attempts. Anything else is refused, by ``LIFE``. The body may be kept
        as it is: nobody changes it.
        """
        ...

    async def settle(self, settlement: Settlement) -> bool:
        """Write an outcome; drop the body of what was accepted, so that nothing of its recipients is left.

        False, and nothing is written, where that attempt is not the intent of a part any more, or never was: where it
        is settled, or a crash or a later attempt came between. A run writes an outcome a second time where it cannot
        know whether it did; to be told False the first time ends it.
        """
        ...

    async def resolve(self, index: int, *, accepted: bool) -> int:
        """Settle the unknown parts of a chunk by hand; return how many records that were, 0 where there are none.

        They become accepted, without a body, or pending. When that was is not noted: ``settled_at`` stays.
        """
        ...

    async def note_end(self, records: int) -> None:
        """Note that the source was read to its end, after ``records`` records, good and bad."""
        ...

    async def end(self) -> int | None:
        """Return what ``note_end`` was told; None where no run has come to the end of the source."""
        ...

    def parts(self, *states: ChunkState) -> AsyncIterator[Part]:
        """Yield the parts in ``states`` (none given: all), in the order of the source."""
        ...

    async def body(self, index: int, start: int) -> bytes | None:
        """Return the encoded records of a part that was intended and not accepted; else None."""
        ...

    async def close(self) -> None:
        """Let go of it. Harmless a second time; it can be opened again."""
        ...


def check_identity(known: Mapping[str, str], asked: Mapping[str, str]) -> dict[str, str]:
    """Return the identity of the journal's run, with what the one that wants to go on adds to it.

    ``known`` is empty where no run has used the journal. Only a suppression list may be added, as people opt out at any
    time; to leave it out again would text them. What is returned is to be kept. Raises ``JournalError`` naming what
    differs.
    """
    if not known:
        return dict(asked)
    added = {name: asked[name] for name in (SUPPRESSION,) if name in asked and name not in known}
    identity = {**known, **added}
    names = sorted(name for name in {*identity, *asked} if identity.get(name) != asked.get(name))
    if names == [SUPPRESSION]:
        raise JournalError(
            "the journal belongs to a run with a suppression list: to go on takes that list, or a longer one"
        )
    if names:
        raise JournalError(f"the journal belongs to another run: different {', '.join(names)}")
    return identity


def summarize(parts: Iterable[Part]) -> JournalSummary:
    """Count parts, which come in the order of the source."""
    records = dict.fromkeys(ChunkState, 0)
    chunks: set[int] = set()
    low_water, unbroken = 0, True
    for part in parts:
        records[part.state] += part.count
        chunks.add(part.index)
        unbroken = unbroken and part.state in (ChunkState.ACCEPTED, ChunkState.REJECTED)
        if unbroken:
            low_water = max(low_water, sum(part.rows[-1]) - 1 if part.rows else 0)
    return JournalSummary(records, len(chunks), low_water)


def carve(parts: Sequence[Part], intent: Intent) -> tuple[list[Part], list[Part]]:
    """Cut parts of one chunk so that ``intent``'s range is one part; return (parts to drop, pending parts to add).

    Raises ``JournalError`` where the range touches a part that is not pending: what may be unknown is not cut up, as it
    could then be told for no part of it what became of it.
    """
    end = intent.start + intent.count
    dropped = [part for part in parts if part.start < end and part.start + part.count > intent.start]
    added: list[Part] = []
    for part in dropped:
        if part.state is not ChunkState.PENDING:
            raise JournalError(f"an intent must not cut up a part that is {part.state.value}")
        before, after = max(0, intent.start - part.start), max(0, part.start + part.count - end)
        rows = split_rows(part.rows, (before, part.count - before - after, after))
        for start, group in ((part.start, rows[0]), (end, rows[2])):
            if group:
                count = sum(length for _, length in group)
                added.append(Part(part.index, start, count, ChunkState.PENDING, group[0][0], rows=group))
    if sum(part.count for part in dropped) != intent.count + sum(part.count for part in added):
        raise JournalError("an intent must lie within a chunk that the journal knows")
    return dropped, added


def split_rows(rows: tuple[tuple[int, int], ...], sizes: tuple[int, ...]) -> list[tuple[tuple[int, int], ...]]:
    """Divide runs of rows into groups of ``sizes`` records."""
    left = list(rows)
    groups: list[tuple[tuple[int, int], ...]] = []
    for size in sizes:
        group: list[tuple[int, int]] = []
        wanted = size
        while wanted:
            first, length = left[0]
            taken = min(length, wanted)
            group.append((first, taken))
            wanted -= taken
            left[0] = (first + taken, length - taken)
            if taken == length:
                left.pop(0)
        groups.append(tuple(group))
    return groups
