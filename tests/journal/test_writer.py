"""The journal's thread and the event loop that waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mobiz_async.errors import JournalError
from mobiz_async.journal import writer
from mobiz_async.journal.writer import Writer


async def test_the_loop_stands_back_as_long_as_the_thread_has_work(monkeypatch):
    stood_back = threading.Event()
    monkeypatch.setattr(writer.time, "sleep", lambda _: stood_back.set())
    thread = Writer(lambda _: (sqlite3.connect(":memory:", isolation_level=None), False), lambda _: None)
    await thread.open()

    waited = await thread.call(lambda _: stood_back.wait(10))

    await thread.finish()
    assert waited is True


@pytest.fixture
async def small(tmp_path) -> AsyncIterator[Writer]:
    """The thread of a database that has room for a little over 100 kB."""

    def connect(_: object) -> tuple[sqlite3.Connection, bool]:
        connection = sqlite3.connect(tmp_path / "small", isolation_level=None)
        connection.execute("PRAGMA max_page_count = 30")
        connection.execute("CREATE TABLE said (what TEXT)")
        return connection, False

    thread = Writer(connect, lambda db: db.execute("INSERT INTO said VALUES ('tidied')"))
    await thread.open()
    yield thread
    if thread.is_alive():
        await thread.finish()


def say(what: str) -> Callable[[sqlite3.Connection], None]:
    return lambda db: db.execute("INSERT INTO said VALUES (?)", (what,)) and None


async def told(thread: Writer, what: str, *, outcome: bool) -> str:
    try:
        await thread.call(say(what), outcome=outcome)
    except JournalError as error:
        return str(error)
    return "written"


def written(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return [what for (what,) in db.execute("SELECT what FROM said WHERE length(what) < 100")]


FULL = "the journal could not be written (SQLITE_FULL); nothing is sent without it"
FAILED = "the journal failed earlier; nothing more is written to it"


async def test_on_a_full_disk_outcomes_are_still_written_and_nothing_else_is(small, tmp_path):
    begun, block = threading.Event(), threading.Event()
    waiting = asyncio.create_task(small.call(lambda _: begun.set() or block.wait(10)))
    await asyncio.to_thread(begun.wait)  # what is asked for from here on waits together, and is one transaction
    together = [
        asyncio.create_task(told(small, "an outcome", outcome=True)),
        asyncio.create_task(told(small, "an intent" * 50_000, outcome=False)),
        asyncio.create_task(told(small, "another outcome", outcome=True)),
    ]
    await asyncio.sleep(0)
    block.set()
    await waiting
    answers = await asyncio.gather(*together)
    later = [await told(small, "an intent", outcome=False), await told(small, "a late outcome", outcome=True)]
    await small.finish()
    small.join()

    assert (answers, later) == (["written", FULL, "written"], [FAILED, "written"])
    assert written(tmp_path / "small") == ["an outcome", "another outcome", "a late outcome"]


async def test_where_not_even_an_outcome_can_be_written_nothing_is_tried_any_more(small, tmp_path):
    answers = [await told(small, "much" * 100_000, outcome=True) for _ in range(2)]
    answers.append(await told(small, "little", outcome=True))

    assert (answers, written(tmp_path / "small")) == ([FULL, FAILED, FAILED], [])
