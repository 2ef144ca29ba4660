"""The journal as a file: who may read it, who may open it, what stays in it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sqlite3
import stat
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mobiz_async.errors import JournalError, JournalLostError
from mobiz_async.journal import ChunkState, Event, SQLiteJournal
from mobiz_async.journal.file import APPLICATION_ID, SCHEMA_VERSION, compact
from mobiz_async.journal.protocol import Intent, Settlement

IDENTITY = {"list id": "1"}
OPEN_AND_SAY = """
import asyncio, sys
from mobiz_async.journal import SQLiteJournal
from mobiz_async.errors import JournalError

async def main():
    journal = SQLiteJournal(sys.argv[1])
    try:
        await journal.open({"list id": "1"})
    except JournalError as error:
        print(error)
    else:
        print("opened", flush=True)
        if sys.argv[2:] == ["hold"]:
            sys.stdin.read()
        await journal.close()

asyncio.run(main())
"""


def body(number: int, size: int = 2) -> bytes:
    return b"[" + b",".join(b'{"Number":"2782%07d"}' % (number * 1000 + item) for item in range(size)) + b"]"


def intent(index: int, encoded: bytes, attempt: str = "a") -> Intent:
    return Intent(index, 0, 2, ((index * 2 + 1, 2),), attempt, 0.0, encoded)


async def elsewhere(path: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Open the journal in another process."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        OPEN_AND_SAY,
        str(path),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def run_once(path: Path, events: list[Event], size: int = 2) -> None:
    journal = SQLiteJournal(path)
    await journal.open(IDENTITY)
    for index, event in enumerate(events):
        await journal.intend(intent(index, body(index, size)))
        await journal.settle(Settlement(index, 0, "a", event, 1.0))
    await journal.close()


async def test_only_its_owner_may_read_it_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        await run_once(tmp_path / "j", [Event.ACCEPT])
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "j").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["a link to nothing", "an empty file", "a link to an empty file"])
async def test_only_its_owner_may_read_what_has_a_name_already(tmp_path, kind):
    before = os.umask(0o022)
    try:
        if "link" in kind:
            (tmp_path / "j").symlink_to(tmp_path / "kept")
        if "empty" in kind:
            (tmp_path / "j").touch()
        await run_once(tmp_path / "j", [Event.REJECT])
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "j").stat().st_mode) == 0o600
    assert b"2782" in (tmp_path / "j").read_bytes()


async def test_what_cannot_be_opened_is_told_with_what_the_system_says(tmp_path):
    """Too many open files, a full disk and a name that is too long are all an OSError."""
    with pytest.raises(JournalError, match=r"cannot be opened: File name too long$"):
        await SQLiteJournal(tmp_path / ("j" * 300)).open(IDENTITY)


async def test_what_sqlite_writes_beside_it_is_as_private(tmp_path):
    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(IDENTITY)
    await journal.intend(intent(0, body(0)))

    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}

    await journal.close()
    assert modes == {0o600}


@pytest.mark.parametrize(
    ("setting", "value"), [("synchronous", 2), ("journal_mode", "truncate"), ("locking_mode", "exclusive")]
)
async def test_a_commit_is_on_the_disk_when_it_returns(tmp_path, setting: str, value: object) -> None:
    """2 is FULL. A write-ahead log, or less than FULL, may lose an intent when the power fails: a double send."""
    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(IDENTITY)
    found = await journal._call(lambda db: db.execute(f"PRAGMA {setting}").fetchone()[0])
    await journal.close()

    assert found == value


async def test_a_second_process_is_refused_at_once_and_clearly(tmp_path):
    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(IDENTITY)

    said, _ = await (await elsewhere(tmp_path / "j")).communicate()

    await journal.close()
    assert said.decode().strip() == f"the journal {tmp_path / 'j'} is in use by another process"


async def test_a_refused_opener_of_this_process_leaves_the_lock_against_others(tmp_path):
    """Closing any descriptor of a file drops all of a process's POSIX locks on it: the refused one must open none."""
    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(IDENTITY)
    with pytest.raises(JournalError, match="in use"):
        await SQLiteJournal(tmp_path / "j").open(IDENTITY)

    said, _ = await (await elsewhere(tmp_path / "j")).communicate()

    await journal.close()
    assert said.decode().strip() == f"the journal {tmp_path / 'j'} is in use by another process"


async def test_the_lock_of_a_killed_process_is_gone_with_it(tmp_path):
    other = await elsewhere(tmp_path / "j", "hold")
    assert other.stdout is not None
    assert await other.stdout.readline() == b"opened\n"
    journal = SQLiteJournal(tmp_path / "j")
    with pytest.raises(JournalError, match="in use by another process"):
        await journal.open(IDENTITY)

    other.kill()
    await other.wait()

    assert await journal.open(IDENTITY) is False
    await journal.close()


@pytest.mark.parametrize("size", [2, 40, 3000], ids=["within a page", "a page", "many pages"])
async def test_after_a_clean_run_no_recipient_is_left_in_the_file(tmp_path, size):
    await run_once(tmp_path / "j", [Event.ACCEPT] * 5, size)

    left = [file.name for file in tmp_path.iterdir() if b"2782" in file.read_bytes()]

    assert left == []


@pytest.mark.parametrize("size", [2, 40, 990], ids=["within a page", "a page", "pages"])
async def test_a_run_that_leaves_something_over_leaves_nothing_of_what_was_accepted(tmp_path, size):
    events = [Event.ACCEPT, Event.REJECT, Event.ACCEPT, Event.ACCEPT]
    await run_once(tmp_path / "j", events, size)

    held = (tmp_path / "j").read_bytes()

    left = [index for index in range(len(events)) if b"2782%07d" % (index * 1000) in held]
    assert left == [1]


@pytest.mark.parametrize(("most", "store"), [(1 << 26, 2), (1, 1)])
async def test_what_is_left_is_copied_in_memory_and_not_through_a_file_elsewhere(tmp_path, monkeypatch, most, store):
    """SQLite's own number for it: 1 is a file, in /var/tmp or so, and 2 is memory."""
    monkeypatch.setattr("mobiz_async.journal.file._COPIED_IN_MEMORY", most)
    compacted = []

    def look(db):
        compact(db)
        compacted.append(db.execute("PRAGMA temp_store").fetchone()[0])

    monkeypatch.setattr("mobiz_async.journal.sqlite.compact", look)
    await run_once(tmp_path / "run.journal", [Event.LOSE])

    assert compacted == [store]


async def test_a_file_may_have_the_name_that_sqlite_has_for_none(tmp_path, monkeypatch):
    """What is kept in memory alone would be sent again after a crash."""
    monkeypatch.chdir(tmp_path)
    await run_once(Path(":memory:"), [Event.ACCEPT])

    journal = SQLiteJournal(":memory:")
    assert await journal.open(None)
    await journal.close()


async def test_looking_into_it_does_not_write_it_anew(tmp_path):
    await run_once(tmp_path / "j", [Event.REJECT], 3000)
    before = (tmp_path / "j").stat().st_mtime_ns
    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(None)
    await journal.close()

    assert before == (tmp_path / "j").stat().st_mtime_ns


async def test_a_resumed_and_resolved_run_leaves_no_recipient_either(tmp_path):
    await run_once(tmp_path / "j", [Event.ACCEPT, Event.LOSE, Event.NOT_SENT])
    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(IDENTITY)
    await journal.resolve(1, accepted=True)
    await journal.intend(intent(2, body(2), "b"))
    await journal.settle(Settlement(2, 0, "b", Event.ACCEPT, 1.0))
    await journal.close()

    assert b"2782" not in (tmp_path / "j").read_bytes()


async def test_what_is_not_accepted_can_be_had_back_without_the_source(tmp_path):
    await run_once(tmp_path / "j", [Event.ACCEPT, Event.REJECT, Event.LOSE])
    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(None)

    kept = [await journal.body(part.index, part.start) async for part in journal.parts() if part.has_body]

    await journal.close()
    assert [body(1), body(2)] == kept


async def test_the_schema_of_a_newer_release_is_refused(tmp_path):
    await run_once(tmp_path / "j", [Event.ACCEPT])
    with sqlite3.connect(tmp_path / "j") as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()

    with pytest.raises(JournalError, match="written by a newer release"):
        await SQLiteJournal(tmp_path / "j").open(IDENTITY)


async def test_a_journal_of_an_older_version_says_what_to_do(tmp_path):
    await run_once(tmp_path / "j", [Event.ACCEPT])
    with sqlite3.connect(tmp_path / "j") as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 1}")
    db.close()

    with pytest.raises(JournalError, match="finish the run with that one"):
        await SQLiteJournal(tmp_path / "j").open(IDENTITY)


@pytest.mark.parametrize(
    "change",
    [
        """DROP TABLE parts; CREATE VIEW parts AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n)
        SELECT i AS idx, 0 AS start, 1 AS count, 'unknown' AS state FROM n""",
        "CREATE TRIGGER more AFTER UPDATE ON parts BEGIN DELETE FROM chunks; END",
        "ALTER TABLE parts ADD COLUMN more TEXT AS (zeroblob(1000000000))",
    ],
    ids=["a view", "a trigger", "a column that is made"],
)
async def test_a_journal_that_somebody_has_changed_the_tables_of_is_refused(tmp_path, change):
    """A view may have rows without end, and what is looked into may be anybody's file."""
    await run_once(tmp_path / "j", [Event.LOSE])
    with contextlib.closing(sqlite3.connect(tmp_path / "j")) as db:
        db.executescript(change)

    for identity in (None, IDENTITY):
        with pytest.raises(JournalError, match="tables of somebody else's"):
            await SQLiteJournal(tmp_path / "j").open(identity)


async def test_another_programs_database_is_refused_and_left_as_it_was(tmp_path):
    with sqlite3.connect(tmp_path / "other") as db:
        db.execute("CREATE TABLE theirs (a)")
    db.close()
    before = (tmp_path / "other").read_bytes()

    with pytest.raises(JournalError, match="not a journal of this library"):
        await SQLiteJournal(tmp_path / "other").open(IDENTITY)

    assert before == (tmp_path / "other").read_bytes()


async def test_a_database_of_another_application_without_tables_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "other") as db:
        db.execute("PRAGMA application_id = 77")
        db.execute("CREATE TABLE gone (a)")
        db.execute("DROP TABLE gone")
    db.close()

    with pytest.raises(JournalError, match="not a journal of this library"):
        await SQLiteJournal(tmp_path / "other").open(IDENTITY)


@pytest.mark.parametrize("content", [b"Number\n27821234567\n", b"x" * 5000], ids=["a short text", "a long text"])
async def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(tmp_path, content):
    (tmp_path / "list.csv").write_bytes(content)

    with pytest.raises(JournalError, match="cannot be used as a journal"):
        await SQLiteJournal(tmp_path / "list.csv").open(IDENTITY)

    assert content == (tmp_path / "list.csv").read_bytes()


async def test_looking_into_what_can_only_be_read_says_so(tmp_path, monkeypatch):
    await run_once(tmp_path / "j", [Event.ACCEPT])
    connect = sqlite3.connect

    def read_only(path: Path, **options: Any) -> sqlite3.Connection:  # as root, permissions alone would not do it
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    monkeypatch.setattr("mobiz_async.journal.file.sqlite3.connect", read_only)
    with pytest.raises(JournalError, match=r"the journal .*j cannot be written to: .* takes that of it and its folder"):
        await SQLiteJournal(tmp_path / "j").open(None)


async def test_a_directory_or_a_missing_folder_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing" / "j"):
        with pytest.raises(JournalError, match="cannot be"):
            await SQLiteJournal(path).open(IDENTITY)


async def test_looking_into_a_journal_that_is_not_there_makes_none(tmp_path):
    with pytest.raises(JournalError, match="there is no journal"):
        await SQLiteJournal(tmp_path / "j").open(None)

    assert list(tmp_path.iterdir()) == []


def _emptied(path: Path) -> None:
    path.touch()


def _without_tables(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE gone (name TEXT)")
        db.execute("DROP TABLE gone")


def _foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE other (name TEXT)")


def _marked_only(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_emptied, "is empty: it is no journal"),
        (_without_tables, "not a journal of this library"),
        (_foreign, "not a journal of this library"),
        (_marked_only, "holds none"),
    ],
)
async def test_looking_into_what_is_no_journal_writes_nothing_into_it(
    tmp_path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "j"
    make(path)
    before = path.read_bytes()

    with pytest.raises(JournalError, match=said):
        await SQLiteJournal(path).open(None)

    assert before == path.read_bytes()


async def test_an_empty_file_becomes_a_journal(tmp_path):
    (tmp_path / "j").touch()

    await run_once(tmp_path / "j", [Event.REJECT])

    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(IDENTITY)
    assert [part.state async for part in journal.parts()] == [ChunkState.REJECTED]
    await journal.close()


async def test_used_before_it_is_open_it_says_so(tmp_path):
    with pytest.raises(JournalError, match="not open"):
        await SQLiteJournal(tmp_path / "j").intend(intent(0, body(0)))


async def test_one_journal_object_serves_one_run_at_a_time(tmp_path):
    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(IDENTITY)

    with pytest.raises(JournalError, match="in use by another run"):
        await journal.open(IDENTITY)

    await journal.close()


async def test_what_waits_together_is_written_in_order(tmp_path):
    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(IDENTITY)

    results: list[Any] = await asyncio.gather(
        journal.intend(intent(0, body(0), "a1")),
        journal.settle(Settlement(0, 0, "a1", Event.LOSE, 1.0)),
        journal.intend(intent(0, body(0), "a2")),
        journal.settle(Settlement(0, 0, "a1", Event.ACCEPT, 1.0)),
        journal.settle(Settlement(0, 0, "a2", Event.ACCEPT, 1.0)),
    )

    await journal.close()
    assert results == [None, True, None, False, True]


async def test_a_refused_order_does_not_spoil_those_it_waits_with(tmp_path):
    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(IDENTITY)

    good, bad, other = await asyncio.gather(
        journal.intend(intent(0, body(0))),
        journal.intend(intent(0, body(0))),
        journal.intend(intent(1, body(1))),
        return_exceptions=True,
    )

    states = [part.state async for part in journal.parts()]
    await journal.close()
    assert (None, JournalError, None) == (good, type(bad), other)
    assert states == [ChunkState.INTENDED] * 2


async def test_a_caller_that_is_cancelled_leaves_its_write_in_order(tmp_path):
    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(IDENTITY)
    task = asyncio.create_task(journal.intend(intent(0, body(0))))
    await asyncio.sleep(0)
    task.cancel()

    settled = await journal.settle(Settlement(0, 0, "a", Event.NOT_SENT, 1.0))

    assert (settled, [part.state async for part in journal.parts()]) == (True, [ChunkState.PENDING])
    await journal.close()


async def test_opening_that_is_cancelled_leaves_the_file_free(tmp_path):
    for _ in range(20):
        task = asyncio.create_task(SQLiteJournal(tmp_path / "j").open(IDENTITY))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        journal = SQLiteJournal(tmp_path / "j")
        await journal.open(IDENTITY)
        await journal.close()


async def test_it_needs_none_of_the_threads_that_the_loop_lends(tmp_path: Path) -> None:
    """They may all be taken, by what waits for the run that the journal is for."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    done = threading.Event()
    taken = loop.run_in_executor(None, done.wait)
    using = asyncio.create_task(run_once(tmp_path / "j", [Event.ACCEPT]))

    await asyncio.wait([using], timeout=10)
    ended = using.done()
    done.set()
    await asyncio.gather(taken, using)

    assert ended


# Whose loop is closed over it, who is forgotten, who is forked


def abandoned(path: Path) -> SQLiteJournal:
    """Return a journal that is open, with an intent in it, and whose loop is closed."""
    journal = SQLiteJournal(path)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(journal.open(IDENTITY))
    loop.run_until_complete(journal.intend(intent(0, body(0))))
    loop.close()
    return journal


async def states_of(journal: SQLiteJournal) -> list[ChunkState]:
    await journal.open(IDENTITY)
    states = [part.state async for part in journal.parts()]
    await journal.close()
    return states


def test_a_journal_whose_loop_was_closed_over_it_is_open_to_the_next_run_of_the_process(tmp_path: Path) -> None:
    before = abandoned(tmp_path / "j")

    states = asyncio.run(states_of(SQLiteJournal(tmp_path / "j")))

    assert states == [ChunkState.UNKNOWN]
    with pytest.raises(JournalError, match="open no more"):
        asyncio.run(before.end())
    asyncio.run(before.close())


def test_a_journal_whose_loop_was_closed_over_it_may_be_opened_again_itself(tmp_path: Path) -> None:
    assert asyncio.run(states_of(abandoned(tmp_path / "j"))) == [ChunkState.UNKNOWN]


async def test_a_journal_that_was_forgotten_gives_its_file_up(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(IDENTITY)
    (thread,) = set(threading.enumerate()) - before

    del journal
    gc.collect()

    thread.join(10)
    assert not thread.is_alive()


async def test_a_journal_that_was_forgotten_is_open_to_the_next_at_once(tmp_path: Path) -> None:
    for _ in range(20):
        journal = SQLiteJournal(tmp_path / "j")
        await journal.open(IDENTITY)
        forgotten = weakref.ref(journal)
        del journal
        assert forgotten() is None

    assert await states_of(SQLiteJournal(tmp_path / "j")) == []


async def test_another_run_of_the_same_process_is_refused_as_such(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "j")
    journal = SQLiteJournal(tmp_path / "j")
    await journal.open(IDENTITY)

    for path in (tmp_path / "j", tmp_path / "link"):
        with pytest.raises(JournalError, match="is in use by another run of this process"):
            await SQLiteJournal(path).open(IDENTITY)

    await journal.close()
    assert await states_of(SQLiteJournal(tmp_path / "link")) == []


FORK = """
import asyncio, os, sys
from mobiz_async.journal import SQLiteJournal
from mobiz_async.errors import JournalError

async def look(journal):
    return [part async for part in journal.parts()]

def child(journal):
    for asked in (look(journal), journal.open(None), SQLiteJournal(sys.argv[1]).open(None)):
        try:
            asyncio.run(asked)
        except JournalError as error:
            print(error, flush=True)
    asyncio.run(journal.close())

async def main():
    journal = SQLiteJournal(sys.argv[1])
    await journal.open({"list id": "1"})
    if not (pid := os.fork()):
        asyncio.events._set_running_loop(None)  # as multiprocessing does
        child(journal)
        os._exit(0)
    os.waitpid(pid, 0)
    print(await look(journal))
    await journal.close()

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
async def test_a_forked_child_is_refused_the_journal_that_is_open_in_its_parent(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-c", FORK, str(tmp_path / "j")), stdout=asyncio.subprocess.PIPE
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), 30)
    except TimeoutError:
        process.kill()
        raise

    assert said.decode().splitlines() == [
        "the journal is open no more: that was in another process, or its event loop was closed",
        "the journal is in use by another run",
        f"the journal {tmp_path / 'j'} is in use by another process",
        "[]",
    ]


def test_its_repr_names_the_file_and_nothing_else():
    assert repr(SQLiteJournal("run.journal")) == "SQLiteJournal('run.journal')"


def cut(path: Path) -> None:
    os.truncate(path, 0)


def replaced(path: Path) -> None:
    path.with_name("copy").write_bytes(path.read_bytes())
    path.with_name("copy").replace(path)


@pytest.mark.parametrize("spoil", [Path.unlink, replaced, cut])
async def test_no_intent_is_taken_by_a_file_that_the_next_run_would_not_open(
    tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    journal = SQLiteJournal(tmp_path / "journal")
    await journal.open(IDENTITY)
    await journal.intend(intent(0, body(0)))
    spoil(tmp_path / "journal")

    with pytest.raises(JournalLostError, match="it was removed, moved or replaced"):
        await journal.intend(intent(1, body(1)))
    with pytest.raises(JournalLostError, match="it was removed, moved or replaced"):
        await journal.note_end(4)  # of a reader that is heard before it, and whose error ends the run
    assert await journal.settle(Settlement(0, 0, "a", Event.ACCEPT, 0.0, 200))  # the file may come back
    await journal.close()


async def test_a_process_that_goes_to_another_directory_has_not_lost_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    journal = SQLiteJournal("journal")
    await journal.open(IDENTITY)
    monkeypatch.chdir(tmp_path / "elsewhere")
    await journal.intend(intent(0, body(0)))
    await journal.close()


async def test_a_journal_that_gets_no_thread_is_a_journal_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(JournalError, match="thread"):
        await SQLiteJournal(tmp_path / "journal").open(IDENTITY)
