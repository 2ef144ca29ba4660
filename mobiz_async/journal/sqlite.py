"""A journal in one SQLite file, written by a thread of its own.

* ``synchronous=FULL`` and a rollback journal: a committed intent survives a power loss. (WAL with ``NORMAL`` may roll a
  committed intent back, and that is a double send.)
* One connection, ``locking_mode=EXCLUSIVE``: a second process is refused at once, and the lock of a killed one is gone
  with it.
* What several chunks write at the same moment is committed together, so a commit costs the run little.
* A write that failed is not tried again: after a failed fsync nobody knows what is on the disk. The journal refuses all
  further work, the run stops, and the file is good up to its last commit. Only where the disk is merely full, the
  outcomes of what is in flight, a few bytes each, are still taken: else what was accepted would end as unknown.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs

from mobiz_async.cancelling import outlast
from mobiz_async.errors import JournalError
from mobiz_async.journal.file import compact, connect
from mobiz_async.journal.place import Place
from mobiz_async.journal.protocol import (
    ChunkState,
    Event,
    Intent,
    Part,
    Recalled,
    Settlement,
    carve,
    step,
)
from mobiz_async.journal.seals import Seal, first_difference, seal
from mobiz_async.journal.writer import Writer

__all__ = ["SQLiteJournal"]

T = TypeVar("T")

_COLUMNS = (
    "idx, start, count, state, attempt_id, attempts, status, reference, intended_at, settled_at, row_runs, "
    "body IS NOT NULL"
)
_BATCH = 200


def _part(row: tuple[Any, ...]) -> Part:
    index, start, count, state, attempt_id, attempts, status, reference, intended_at, settled_at, runs, has_body = row
    rows = tuple((first, length) for first, length in json.loads(runs))
    return Part(
        index=index,
        start=start,
        count=count,
        state=ChunkState(state),
        first_record=rows[0][0],
        attempt_id=attempt_id,
        attempts=attempts,
        status=status,
        reference=reference,
        intended_at=intended_at,
        settled_at=settled_at,
        rows=rows,
        has_body=bool(has_body),
    )


@attrs.frozen
class _Opened:
    """What there is of a journal while it is open."""

    writer: Writer
    place: Place


class SQLiteJournal:
    """A journal in the file ``path``, created readable by its owner only (0600).

    It holds the encoded records of a chunk from its intent until it is accepted. When a run ends, the file is
    compacted: of the chunks that were accepted no recipient's data stays in it. (That of a run that was killed is
    compacted when the run that goes on from it ends.)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the file; it is opened, or created, by the run."""
        self._opened: _Opened | None = None  # first of all: __del__ looks at it, also where the path is none
        self.path: Path = Path(path)

    def __del__(self) -> None:
        # A run whose loop was closed over it is never closed; its thread would hold the file as long as the process.
        if self._opened is not None:
            self._opened.writer.abandon()

    def __repr__(self) -> str:
        return f"SQLiteJournal({os.fspath(self.path)!r})"

    async def open(self, identity: Mapping[str, str] | None) -> bool:
        """See ``Journal.open``. With ``identity`` None the file must exist."""
        if self._opened is not None and not self._opened.writer.orphaned:
            raise JournalError("the journal is in use by another run")
        writer = Writer(partial(connect, self.path, identity), compact)
        opening = writer.open()
        if (cancelled := await outlast(opening)) is not None:
            # The thread went on all the same, and what it opened would keep the file locked.
            if opening.exception() is None:
                await outlast(writer.finish())
            raise cancelled
        resumable: bool
        resumable, place = opening.result()
        self._opened = _Opened(writer, place)
        return resumable

    def _in_use(self) -> _Opened:
        if self._opened is None:
            raise JournalError("the journal is not open")
        return self._opened

    async def _call(self, job: Callable[[sqlite3.Connection], T], *, outcome: bool = False) -> T:
        return await self._in_use().writer.call(job, outcome=outcome)

    async def identity(self) -> Mapping[str, str]:
        """See ``Journal.identity``."""
        return await self._call(lambda db: dict(db.execute("SELECT name, value FROM identity")))

    async def recall(self, index: int, body: bytes | bytearray) -> Recalled | None:
        """See ``Journal.recall``."""

        def job(db: sqlite3.Connection) -> Recalled | None:
            known = db.execute("SELECT digest, prints FROM chunks WHERE idx = ?", (index,)).fetchone()
            if known is None:
                return None
            return Recalled(tuple(_parts_of(db, index)), first_difference(Seal(*known), body))

        return await self._call(job)

    async def intend(self, intent: Intent) -> None:
        """See ``Journal.intend``."""
        place = self._in_use().place

        def job(db: sqlite3.Connection) -> None:
            place.check()
            _intend(db, intent)

        await self._call(job)

    async def settle(self, settlement: Settlement) -> bool:
        """See ``Journal.settle``."""
        state = step(ChunkState.INTENDED, settlement.event)
        keep_body = "NULL" if state is ChunkState.ACCEPTED else "body"

        def job(db: sqlite3.Connection) -> bool:
            cursor = db.execute(
                f"UPDATE parts SET state = ?, status = ?, reference = ?, settled_at = ?, body = {keep_body}"  # noqa: S608  ours
                " WHERE idx = ? AND start = ? AND attempt_id = ? AND state = ?",
                (
                    state.value,
                    settlement.status,
                    settlement.reference,
                    settlement.at,
                    settlement.index,
                    settlement.start,
                    settlement.attempt_id,
                    ChunkState.INTENDED.value,
                ),
            )
            return cursor.rowcount == 1

        return await self._call(job, outcome=True)

    async def resolve(self, index: int, *, accepted: bool) -> int:
        """See ``Journal.resolve``."""
        state = step(ChunkState.UNKNOWN, Event.RESOLVE_ACCEPTED if accepted else Event.RESOLVE_NOT_SENT)

        def job(db: sqlite3.Connection) -> int:
            found = db.execute(
                "UPDATE parts SET state = ?, body = CASE WHEN ? THEN NULL ELSE body END WHERE idx = ? AND state = ?"
                " RETURNING count",
                (state.value, accepted, index, ChunkState.UNKNOWN.value),
            ).fetchall()
            return sum(count for (count,) in found)

        return await self._call(job)

    async def note_end(self, records: int) -> None:
        """See ``Journal.note_end``."""

        def job(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM source")
            db.execute("INSERT INTO source VALUES (?)", (records,))

        await self._call(job)

    async def end(self) -> int | None:
        """See ``Journal.end``."""
        found = await self._call(lambda db: db.execute("SELECT records FROM source").fetchone())
        return found[0] if found is not None else None

    async def parts(self, *states: ChunkState) -> AsyncIterator[Part]:
        """See ``Journal.parts``."""
        wanted = [state.value for state in states or ChunkState]
        marks = ", ".join("?" * len(wanted))
        after = (-1, 0)
        while True:
            query = (
                f"SELECT {_COLUMNS} FROM parts WHERE (idx, start) > (?, ?) AND state IN ({marks})"  # noqa: S608  ours
                f" ORDER BY idx, start LIMIT {_BATCH}"
            )
            arguments = (*after, *wanted)
            rows = await self._call(lambda db, query=query, with_=arguments: db.execute(query, with_).fetchall())  # type: ignore[misc]  # mypy has no type for a lambda's defaults
            for row in rows:
                yield _part(row)
            if len(rows) < _BATCH:
                return
            after = rows[-1][:2]

    async def body(self, index: int, start: int) -> bytes | None:
        """See ``Journal.body``."""
        query = "SELECT body FROM parts WHERE idx = ? AND start = ?"
        found = await self._call(lambda db: db.execute(query, (index, start)).fetchone())
        return found[0] if found is not None else None

    async def close(self) -> None:
        """See ``Journal.close``."""
        opened, self._opened = self._opened, None
        if opened is None:
            return
        cancelled = await outlast(opened.writer.finish())
        opened.writer.join()  # it has nothing left to do
        if cancelled is not None:
            raise cancelled


def _parts_of(db: sqlite3.Connection, index: int) -> list[Part]:
    rows = db.execute(f"SELECT {_COLUMNS} FROM parts WHERE idx = ? ORDER BY start", (index,))  # noqa: S608  ours
    return [_part(row) for row in rows]


def _intend(db: sqlite3.Connection, intent: Intent) -> None:
    known = _parts_of(db, intent.index)
    same = next((part for part in known if (part.start, part.count) == (intent.start, intent.count)), None)
    state = step(same.state if same is not None else ChunkState.PENDING, Event.INTEND)
    if not known:
        sealed = seal(intent.body)
        db.execute("INSERT INTO chunks VALUES (?, ?, ?)", (intent.index, sealed.digest, sealed.prints))
    elif same is None:
        dropped, added = carve(known, intent)
        db.executemany("DELETE FROM parts WHERE idx = ? AND start = ?", [(p.index, p.start) for p in dropped])
        db.executemany(
            "INSERT INTO parts (idx, start, count, state, attempts, row_runs) VALUES (?, ?, ?, ?, 0, ?)",
            [(p.index, p.start, p.count, p.state.value, json.dumps(p.rows)) for p in added],
        )
    db.execute(
        "INSERT INTO parts VALUES (?, ?, ?, ?, ?, 1, NULL, NULL, ?, NULL, ?, ?) ON CONFLICT DO UPDATE SET"
        " state = excluded.state, attempt_id = excluded.attempt_id, attempts = attempts + 1, status = NULL,"
        " reference = NULL, intended_at = excluded.intended_at, settled_at = NULL, body = excluded.body",
        (
            intent.index,
            intent.start,
            intent.count,
            state.value,
            intent.attempt_id,
            intent.at,
            json.dumps(intent.rows),
            intent.body,
        ),
    )
