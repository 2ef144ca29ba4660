"""What the experiments are made of: clients, a journal whose disk misbehaves, and copies of it."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import ground_truth
from ground_truth import by_record

from mobiz_async import MobizClient
from mobiz_async.journal import ChunkState, Journal, Part, SQLiteJournal
from mobiz_async.models import Pace, RetryPolicy, Timeouts
from mobiz_async.transport import Transport

IMPATIENT = RetryPolicy(max_attempts=3, base=0.0, throttle_base=0.0)
CONCURRENCY = 4


def client_of(base_url: str, *, read: float = 5.0, transport: Transport | None = None, **settings: Any) -> MobizClient:
    """A client that waits for nothing longer than a test may take."""
    return MobizClient(
        "sandbox-api-key",
        "sandbox-subscription-key",
        base_url=base_url,
        transport=transport,
        retry=settings.pop("retry", IMPATIENT),
        timeouts=Timeouts(read=read),
        pace=settings.pop("pace", Pace(concurrency=CONCURRENCY, throttle_pause=0.0)),
        **settings,
    )


async def parts_of(journal: Journal) -> list[Part]:
    """Open a journal for looking, return its parts, close it."""
    await journal.open(None)
    try:
        return [part async for part in journal.parts()]
    finally:
        await journal.close()


async def examine(path: Path, source: Sequence[str], applied: Counter[str], **allowed: Any) -> dict[str, ChunkState]:
    """Check a journal file against what was applied; return each record's state. One that is missing knows nothing."""
    begun = os.path.exists(path) and os.path.getsize(path) > 0  # noqa: ASYNC240, PTH110, PTH202  local
    parts = await parts_of(SQLiteJournal(path)) if begun else []
    states = by_record(parts, source)
    ground_truth.check(states, applied, **allowed)
    return states


Act = Callable[[str], None]


@attrs.define
class Disk:
    """Sees each statement that journals give to SQLite; ``before`` and ``after`` may raise in its place."""

    before: Act = lambda _: None
    after: Act = lambda _: None
    statements: int = 0


@contextlib.contextmanager
def watched(disk: Disk) -> Iterator[Disk]:
    """Let ``disk`` see the statements of every journal opened meanwhile."""

    class Watched(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            disk.statements += 1
            disk.before(sql)
            cursor = super().execute(sql, *arguments)
            try:
                disk.after(sql)
            except sqlite3.Error:
                cursor.close()
                raise
            return cursor

    genuine = sqlite3.connect
    sqlite3.connect = functools.partial(genuine, factory=Watched)
    try:
        yield disk
    finally:
        sqlite3.connect = genuine


def broken(code: int, name: str, text: str) -> sqlite3.OperationalError:
    """An error as SQLite raises it."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    return error


def copy_journal(path: Path, to: Path) -> Path:
    """Copy a journal as a power loss would leave it: the file and its rollback journal."""
    to.mkdir()
    for file in path.parent.glob(path.name + "*"):
        shutil.copy(file, to / file.name)
    return to / path.name


async def chunks(source: Sequence[str]) -> AsyncIterator[str]:
    """The source as an asynchronous generator."""
    for number in source:
        yield number
