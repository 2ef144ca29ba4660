"""A journal's file has one user, whatever else the program does with the file."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mobiz_async.errors import JournalError
from mobiz_async.journal import SQLiteJournal
from mobiz_async.journal.locking import Lock

fcntl = pytest.importorskip("fcntl")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is SQLite's lock alone")

IDENTITY = {"list id": "1"}
OPEN = """
import asyncio, sys
from mobiz_async import JournalError, SQLiteJournal
async def main():
    journal = SQLiteJournal(sys.argv[1])
    try:
        await journal.open(None)
    except JournalError as error:
        return str(error)
    await journal.close()
    return "open"
print(asyncio.run(main()))
"""


def opened_elsewhere(path: Path) -> str:
    """What another process is told that opens the journal."""
    done = subprocess.run([sys.executable, "-c", OPEN, path], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "run.journal"
    made.touch()
    return made


async def test_a_copy_that_the_program_makes_of_its_journal_lets_nobody_else_in(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    journal = SQLiteJournal(path)
    await journal.open(IDENTITY)
    path.read_bytes()  # any descriptor that is closed takes SQLite's lock with it

    told = opened_elsewhere(path)
    await journal.close()

    assert told == f"the journal {path} is in use by another process"
    assert opened_elsewhere(path) == "open"


async def test_a_second_user_in_this_process_is_told_so_and_the_first_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    journal = SQLiteJournal(path)
    await journal.open(IDENTITY)

    with pytest.raises(JournalError) as caught:
        await SQLiteJournal(path).open(IDENTITY)

    assert str(caught.value) == f"the journal {path} is in use by another run of this process"
    assert "in use" in opened_elsewhere(path)
    await journal.close()


async def test_by_another_name_it_is_the_same_file(tmp_path: Path) -> None:
    journal = SQLiteJournal(tmp_path / "run.journal")
    await journal.open(IDENTITY)
    other = tmp_path / "link.journal"
    other.symlink_to(journal.path)

    with pytest.raises(JournalError, match="in use by another run of this process"):
        await SQLiteJournal(other).open(IDENTITY)
    await journal.close()


def test_a_lock_that_is_let_go_is_free_and_letting_go_twice_is_harmless(path: Path) -> None:
    first = Lock(path)
    first.release()
    second = Lock(path)
    first.release()

    with pytest.raises(BlockingIOError):
        Lock(path)
    second.release()


def test_a_forked_child_holds_nothing_that_outlives_its_parent(path: Path) -> None:
    lock = Lock(path)
    until, end = os.pipe()
    begun, begin = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        os.write(begin, b".")
        os.read(until, 1)  # lives on, as a worker that was forked does
        os._exit(0)
    os.read(begun, 1)
    lock.release()  # as the end of the parent would

    try:
        Lock(path).release()
    finally:
        os.close(end)
        os.waitpid(child, 0)
        for descriptor in (until, begun, begin):
            os.close(descriptor)


def test_where_the_file_system_knows_no_such_lock_there_is_sqlites(path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(fcntl, "fcntl", refuse)

    Lock(path).release()


def test_a_file_that_cannot_be_written_to_is_left_to_sqlite(path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "read only")

    monkeypatch.setattr(os, "open", refuse)

    Lock(path).release()


def open_descriptors() -> set[str]:
    return {found.name for found in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("error", [BlockingIOError(errno.EAGAIN, "taken"), OSError(errno.EINVAL, "not here")], ids=str)
def test_a_lock_that_cannot_be_had_leaves_no_descriptor_open(path: Path, monkeypatch, error: OSError) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    before = open_descriptors()
    with contextlib.suppress(BlockingIOError):
        Lock(path)

    assert open_descriptors() == before


def test_a_forked_child_keeps_what_was_opened_after_a_lock_was_let_go(path: Path) -> None:
    """The next descriptor that is opened has the number of the last that was closed."""
    lock = Lock(path)
    lock.release()
    again = os.open(path, os.O_RDONLY)
    child = os.fork()
    if child == 0:
        try:
            os.fstat(again)
        except OSError:
            os._exit(1)
        os._exit(0)

    _, status = os.waitpid(child, 0)
    os.close(again)

    assert os.waitstatus_to_exitcode(status) == 0
