"""A journal that cannot be written stops the run with nothing sent that it does not know of; power may go any time."""

from __future__ import annotations

import sqlite3

import chaos_stand
import pytest
from chaos_stand import Disk, broken, client_of, copy_journal, examine, watched
from ground_truth import count, numbers

from mobiz_async.errors import JournalError
from mobiz_async.journal import ChunkState, SQLiteJournal
from mobiz_async.models import StopReason
from mobiz_async.sandbox import Fault, Faults, Sandbox

SOURCE = numbers(34)
SIZE = 5
ERRORS = {
    "disk full": broken(sqlite3.SQLITE_FULL, "SQLITE_FULL", "database or disk is full"),
    "i/o error": broken(sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC", "disk I/O error"),
    "locked": broken(sqlite3.SQLITE_BUSY, "SQLITE_BUSY", "database is locked"),
}


async def run(sandbox, path, list_id):
    async with client_of(sandbox.base_url) as mobiz:
        return await mobiz.send_bulk(list_id, SOURCE, chunk_size=SIZE, journal=SQLiteJournal(path))


async def resume(sandbox, path, list_id):
    """Resume to the end; return each record's state, checked."""
    report = await run(sandbox, path, list_id)
    states = await examine(path, SOURCE, sandbox.applied(list_id))
    counts = count(states)
    assert (report.accepted, report.unknown) == (counts[ChunkState.ACCEPTED], counts[ChunkState.UNKNOWN])
    assert report.accepted + report.unknown == report.read == len(SOURCE)
    return states


async def statements_of_a_run(tmp_path) -> int:
    async with Sandbox() as sandbox:
        with watched(Disk()) as disk:
            await run(sandbox, tmp_path / "measured", "1")
    return disk.statements


@pytest.mark.parametrize("late", [False, True], ids=["before it is done", "after it is done"])
async def test_whichever_statement_fails_the_run_stops_clean_and_can_be_resumed(tmp_path, full, late):
    last = await statements_of_a_run(tmp_path)
    kinds = list(ERRORS.values())
    stopped = 0
    async with Sandbox() as sandbox:
        for n in range(1, last + 1):
            for error in kinds if full else [kinds[n % len(kinds)]]:
                disk = Disk()

                def fail(_: str, disk: Disk = disk, n: int = n, error: sqlite3.OperationalError = error) -> None:
                    if disk.statements >= n:
                        raise error

                if late:
                    disk.after = fail
                else:
                    disk.before = fail
                contacts = sandbox.add_list()
                path = tmp_path / f"{contacts.id}.journal"
                caught: JournalError | None = None
                with watched(disk):
                    try:
                        await run(sandbox, path, contacts.id)
                    except JournalError as raised:
                        caught = raised
                if caught is not None and (report := caught.report) is not None:
                    stopped += 1
                    settled = report.accepted + report.rejected + report.not_sent + report.unknown + report.skipped
                    assert (StopReason.JOURNAL, settled) == (report.stopped, report.read)
                await examine(path, SOURCE, sandbox.applied(contacts.id))
                states = await resume(sandbox, path, contacts.id)
                assert count(states)[ChunkState.UNKNOWN] <= chaos_stand.CONCURRENCY * SIZE
    assert stopped > 10


async def test_a_write_that_failed_is_not_tried_again(tmp_path):
    """After a failed fsync nobody knows what is on the disk: the journal asks no more of it than to let go."""
    seen: list[str] = []

    def fail(sql: str) -> None:
        seen.append(sql)
        if seen.count("COMMIT") == 4:
            raise ERRORS["i/o error"]

    async with Sandbox() as sandbox:
        with watched(Disk(before=fail)), pytest.raises(JournalError, match="SQLITE_IOERR_FSYNC"):
            await run(sandbox, tmp_path / "j", "1")

    assert seen[-1] == "COMMIT"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("faults", ["none", "some"])
async def test_power_may_be_lost_around_any_commit(tmp_path, full, moment, faults):
    """The journal as it lies on the disk at that moment is resumed against the same server: at most once, none lost."""
    odds = {
        Fault.RESET_AFTER_APPLY: 0.15,
        Fault.RESET_UNAPPLIED: 0.1,
        Fault.THROTTLE_BARE: 0.1,
        Fault.REJECTED_200: 0.1,
    }
    schedule = {"none": lambda: None, "some": lambda: Faults.seeded(7, odds)}[faults]
    commits: set[int] = set()
    async with Sandbox() as sandbox:
        for n in list(range(1, 18)) * (6 if full else 1):  # a run makes some ten to sixteen
            contacts = sandbox.add_list()
            path, copied = tmp_path / f"{contacts.id}.journal", tmp_path / contacts.id
            seen = 0

            def lose_power(sql, *, n=n, path=path, copied=copied, now=moment):
                nonlocal seen
                if copied.exists():
                    raise ERRORS["i/o error"]
                seen += sql == "COMMIT"
                if seen == n and sql == "COMMIT":
                    copy_journal(path, copied)
                    if now == "before":
                        raise ERRORS["i/o error"]

            sandbox.faults = schedule()
            with watched(Disk(**{moment: lose_power})):
                try:
                    await run(sandbox, path, contacts.id)
                except JournalError:
                    commits.add(n)
            if not copied.exists():
                continue
            rejected = await examine(copied / path.name, SOURCE, sandbox.applied(contacts.id))
            sandbox.faults = None
            report = await run(sandbox, copied / path.name, contacts.id)
            states = count(await examine(copied / path.name, SOURCE, sandbox.applied(contacts.id)))
            assert states[ChunkState.PENDING] == 0
            assert report.rejected == count(rejected)[ChunkState.REJECTED]
            assert states[ChunkState.UNKNOWN] == report.unknown
    assert len(commits) >= 5
