"""What the tests of a journal say to it, and the journal itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs

from mobiz_async.journal import ChunkState, Event, Intent, Journal, Part, Settlement

__all__ = ["BODY", "IDENTITY", "MakeJournal", "intent", "parts_of", "run", "settlement", "spans"]

MakeJournal = Callable[[], Journal]

IDENTITY = {"list id": "1", "chunk size": "4", "checks": "none"}
BODY = b'[{"Number":"1"},{"Number":"2"},{"Number":"3"},{"Number":"4"}]'


def intent(index: int = 0, start: int = 0, count: int = 4, attempt: str = "a1", **changes: Any) -> Intent:
    """Return the intent of a chunk of four records, or a part of it."""
    rows = ((index * 4 + start + 1, count),)
    made = Intent(index, start, count, rows, attempt, 1000.0, BODY)
    return attrs.evolve(made, **changes)


def settlement(event: Event, index: int = 0, start: int = 0, attempt: str = "a1", **changes: Any) -> Settlement:
    """Return the outcome of such an attempt."""
    return attrs.evolve(Settlement(index, start, attempt, event, 2000.0), **changes)


@asynccontextmanager
async def run(make_journal: MakeJournal, **changes: str) -> AsyncIterator[Journal]:
    """Open the journal as a run does, and close it. ``changes`` of its identity have "_" for a space."""
    journal = make_journal()
    await journal.open({**IDENTITY, **{name.replace("_", " "): value for name, value in changes.items()}})
    try:
        yield journal
    finally:
        await journal.close()


async def parts_of(journal: Journal, *states: ChunkState) -> list[Part]:
    """Return what ``parts`` yields."""
    return [part async for part in journal.parts(*states)]


async def spans(journal: Journal) -> list[tuple[int, int, int, str]]:
    """Return where each part stands: chunk, start, count, state."""
    return [(part.index, part.start, part.count, part.state.value) for part in await parts_of(journal)]
