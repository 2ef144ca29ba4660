"""The file of a ``SQLiteJournal``: what is in it, and how it is made, opened, checked and compacted."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from mobiz_async.errors import JournalError
from mobiz_async.journal.place import Place
from mobiz_async.journal.protocol import ChunkState, Event, check_identity, step

__all__ = ["APPLICATION_ID", "SCHEMA_VERSION", "compact", "connect"]

APPLICATION_ID = 0x4D6F627A
"""Marks the file as a journal of ours ("Mobz")."""
SCHEMA_VERSION = 4
"""To be raised with every change of what follows, be it of a blank: a file is compared with it to the letter."""

_PAGE_SIZE = 16384
_SCHEMA = """
CREATE TABLE identity (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE source (records INTEGER NOT NULL);
CREATE TABLE chunks (idx INTEGER PRIMARY KEY, digest BLOB NOT NULL, prints BLOB NOT NULL);
CREATE TABLE parts (
    idx INTEGER NOT NULL, start INTEGER NOT NULL, count INTEGER NOT NULL, state TEXT NOT NULL,
    attempt_id TEXT, attempts INTEGER NOT NULL, status INTEGER, reference TEXT, intended_at REAL, settled_at REAL,
    row_runs TEXT NOT NULL, body BLOB, PRIMARY KEY (idx, start)
);
"""
_OF_SIZE = ("page_size", "page_count", "freelist_count")
_COPIED_IN_MEMORY = 1 << 26
"""Bytes of what is left when a run ends, mostly of bodies: half a million short records that were not accepted."""


def connect(
    path: Path, identity: Mapping[str, str] | None, claim: Callable[[Path], None]
) -> tuple[sqlite3.Connection, tuple[bool, Place]]:
    """Open the file, once it is claimed; return the connection, whether there is anything to resume, and its place."""
    try:
        if identity is not None:
            _create(path)
        elif not path.exists():
            raise JournalError(f"there is no journal at {path}")
        elif not path.stat().st_size:
            raise JournalError(f"{path} is empty: it is no journal")
        claim(path)
        connection = sqlite3.connect(path.absolute(), timeout=0, isolation_level=None)  # ":memory:" is a name of a file
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or type(error).__name__  # most of what a system says is an OSError
        raise JournalError(f"the journal {path} cannot be opened: {why}") from None
    try:
        return connection, (_prepare(connection, identity), Place(path))
    except sqlite3.Error as error:
        connection.close()
        raise JournalError(_refusal(path, error)) from None
    except OSError:
        connection.close()
        raise JournalError(f"the journal {path} was removed while it was opened") from None
    except JournalError:
        connection.close()
        raise


def _create(path: Path) -> None:
    """Make the file, also where a link leads to none yet; one that is empty becomes its owner's alone as well."""
    # Only where there is none: to close any descriptor of a file that this process has open would drop the lock on it
    # (POSIX), and with it what keeps other processes out.
    try:
        os.close(os.open(os.path.realpath(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if path.is_file() and not path.stat().st_size:
            path.chmod(0o600)


def compact(db: sqlite3.Connection) -> None:
    """Give the space of dropped bodies back, and with it what they held, if anything was written.

    Whether there is any cannot be asked: what is left of small bodies lies within pages that are in use. The bodies
    that are still needed are copied for it, once a run: in memory, as a file of SQLite's would be somewhere else that
    nobody asked for, such as /var/tmp; unless they are too many for that.
    """
    if not db.total_changes:
        return
    size, pages, free = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in _OF_SIZE)
    db.execute(f"PRAGMA temp_store = {'MEMORY' if size * (pages - free) <= _COPIED_IN_MEMORY else 'FILE'}")
    db.execute("VACUUM")


def _prepare(connection: sqlite3.Connection, identity: Mapping[str, str] | None) -> bool:
    """Take the lock, make or check the schema, and begin; return whether there is anything to resume.

    Where no journal is to be made, nothing foreign is written to.
    """
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    if identity is None:
        # Ahead of all else: to set the journal mode is to write, where the file has another one.
        _check_schema(
            connection.execute("PRAGMA application_id").fetchone()[0],
            connection.execute("PRAGMA user_version").fetchone()[0],
        )
    connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = OFF")  # bodies are overwritten by the next ones, and compacted away
    connection.execute("BEGIN EXCLUSIVE")
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application == 0 and tables == 0:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        else:
            _check_schema(application, version)
            _check_tables(connection)
        resumable = _begin(connection, identity)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return resumable


def _refusal(path: Path, error: sqlite3.Error) -> str:
    """Return why the file cannot be opened as a journal."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what kind of it
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return f"the journal {path} is in use by another process"
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
        return f"the journal {path} cannot be written to: to use it, or look into it, takes that of it and its folder"
    return f"{path} cannot be used as a journal: {error}"


def _check_schema(application: int, version: int) -> None:
    if application != APPLICATION_ID:
        raise JournalError("the file is a database, but not a journal of this library")
    if version < 1:
        raise JournalError("the file is marked as a journal of this library, but holds none")
    if version > SCHEMA_VERSION:
        raise JournalError("the journal was written by a newer release of mobiz_async: use that one, or a newer")
    if version < SCHEMA_VERSION:
        raise JournalError("the journal was written by an older version of mobiz_async: finish the run with that one")


def _check_tables(db: sqlite3.Connection) -> None:
    """Refuse what is not as it was made here: a view in a table's place may have rows without end."""
    made = set(map(str.strip, _SCHEMA.split(";")))
    if any(sql not in made for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")):
        raise JournalError("the file is marked as a journal of this library, but has tables of somebody else's")


def _begin(db: sqlite3.Connection, identity: Mapping[str, str] | None) -> bool:
    if identity is not None:
        known: dict[str, str] = dict(db.execute("SELECT name, value FROM identity"))
        agreed = check_identity(known, identity)
        db.executemany("INSERT OR IGNORE INTO identity VALUES (?, ?)", sorted(agreed.items()))
    crashed = step(ChunkState.INTENDED, Event.CRASH)
    db.execute("UPDATE parts SET state = ? WHERE state = ?", (crashed.value, ChunkState.INTENDED.value))
    return db.execute("SELECT 1 FROM parts LIMIT 1").fetchone() is not None
