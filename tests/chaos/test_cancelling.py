"""A run that is cancelled, wherever it stands, leaves the truth in its journal and nothing else behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import attrs
import pytest
from chaos_stand import client_of
from ground_truth import by_record, check, count, numbers
from ledger_transport import CuttingLoop, LedgerTransport, Meets

from mobiz_async.journal import ChunkState, MemoryJournal, SQLiteJournal
from mobiz_async.models import OnRejected, Outcome
from mobiz_async.sandbox import Fault, Faults, Sandbox
from mobiz_async.testing import FakeClock

SOURCE = numbers(14)
ROUGH = (
    Meets.NOTHING,
    Meets.LOST_APPLIED,
    Meets.THROTTLED,
    Meets.NO_CONNECTION,
    Meets.BROKEN_APPLIED,
    Meets.LOST_UNAPPLIED,
)
WAYS = {"smooth": ((), ()), "rough": (ROUGH, ()), "with bad records": ((), (SOURCE[4], SOURCE[9]))}


@attrs.define
class Cut:
    """How a run fared that was cancelled behind a step."""

    steps: int
    cancelled: bool
    left: set[str]
    report: Any
    states: dict[str, ChunkState]


async def states_of(journal: Any) -> dict[str, ChunkState]:
    if isinstance(journal, SQLiteJournal) and not journal.path.exists():
        return by_record((), SOURCE)
    await journal.open(None)
    parts = [part async for part in journal.parts()]
    await journal.close()
    return by_record(parts, SOURCE)


async def run_and_cut(loop: CuttingLoop, at: tuple[int, ...], mobiz: Any, list_id: str, journal: Any) -> Cut:
    """Start a run, cancel it behind its steps ``at``, and look at what is left at once."""
    seen: list[Any] = []

    async def run() -> None:
        options = {"chunk_size": 3, "concurrency": 2, "on_rejected": OnRejected.SPLIT}
        async with mobiz.bulk(list_id, SOURCE, journal=journal, **options) as run:
            seen.append(run)
            await run.finish()

    before = asyncio.all_tasks()
    victim = loop.create_task(run())
    start = loop.steps
    loop.cut, loop.at = victim.cancel, {start + step for step in at}
    await asyncio.wait([victim])
    steps = loop.steps - start
    alive = [task for task in asyncio.all_tasks() - before if not task.done() and not task.cancelling()]
    left = {task.get_name() for task in alive if "RequestHandler" not in repr(task.get_coro())}  # the sandbox's own
    if not victim.cancelled():
        victim.result()
    report = seen[0].report if seen else None
    return Cut(steps, victim.cancelled(), left, report, await states_of(journal))


def judge(cut: Cut, applied: Any) -> None:
    """The invariant, and a report that says the same as the journal."""
    check(cut.states, applied)
    assert cut.left == set()
    if cut.report is not None:
        counts = count(cut.states)
        found = (cut.report.accepted, cut.report.rejected, cut.report.unknown)
        states = (ChunkState.ACCEPTED, ChunkState.REJECTED, ChunkState.UNKNOWN)
        assert found == tuple(counts[state] for state in states)


def journal_of(kind: str, path: Path) -> Any:
    return MemoryJournal() if kind == "memory" else SQLiteJournal(path)


def in_memory(kind: str, path: Path, way: str, at: tuple[int, ...]) -> Cut:
    """One run without a network, cut behind ``at``, judged, resumed, judged again."""
    script, bad = WAYS[way]
    server = LedgerTransport(script, bad=bad)
    journal = journal_of(kind, path)
    loop = CuttingLoop()

    async def main() -> Cut:
        async with client_of("http://localhost", transport=server, clock=FakeClock(auto=True)) as mobiz:
            cut = await run_and_cut(loop, at, mobiz, "1", journal)
            judge(cut, server.applied)
            again = await run_and_cut(loop, (), mobiz, "1", journal)
            judge(again, server.applied)
            assert count(again.states)[ChunkState.PENDING] == 0
            assert again.report.rejected == len(bad) or cut.cancelled
            assert again.report.accepted + again.report.rejected + again.report.unknown == len(SOURCE)
            return cut

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_cancelled_behind_any_step_the_journal_holds_the_truth_and_nothing_is_left(tmp_path, full, kind, way):
    steps = in_memory(kind, tmp_path / "whole", way, ()).steps
    stride = 1 if full or kind == "memory" else 5
    cancelled = 0
    for at in range(1, steps + 1, stride):
        cancelled += in_memory(kind, tmp_path / f"{at}", way, (at,)).cancelled
    print(f"\n{kind}, {way}: {steps} steps, {cancelled} runs cancelled")  # noqa: T201  figures
    assert cancelled > steps / stride * 0.8


@pytest.mark.parametrize("apart", [1, 2, 5])
def test_cancelled_twice_it_is_the_same(tmp_path, full, apart):
    steps = in_memory("sqlite", tmp_path / "whole", "rough", ()).steps
    for at in range(1, steps + 1, 1 if full else 11):
        in_memory("sqlite", tmp_path / f"{at}", "rough", (at, at + apart))


def over_the_network(path: Path, faults: Faults | None, at: tuple[int, ...]) -> Cut:
    loop = CuttingLoop()

    async def main() -> Cut:
        async with Sandbox(faults=faults) as sandbox:
            async with client_of(sandbox.base_url) as mobiz:
                cut = await run_and_cut(loop, at, mobiz, "1", SQLiteJournal(path))
                session = mobiz._deliverer.transport._session
                assert session is None or not session.connector._acquired, "a connection is still in use"
                if faults is not None:
                    sandbox.faults = None
            # What had been sent when the run was cancelled may be applied until the sandbox has seen its connection go.
            await sandbox.until(lambda: not sandbox._gateway.busy)
            judge(cut, sandbox.applied("1"))
            async with client_of(sandbox.base_url) as mobiz:
                again = await run_and_cut(loop, (), mobiz, "1", SQLiteJournal(path))
            judge(again, sandbox.applied("1"))
            assert count(again.states)[ChunkState.PENDING] == 0
            return cut

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


@pytest.mark.parametrize("way", ["smooth", "rough"])
def test_cancelled_behind_any_step_of_a_run_over_sockets_no_connection_is_left(tmp_path, full, way):
    rough = [None, Fault.RESET_AFTER_APPLY, Fault.ERROR_500_AFTER_APPLY, Fault.CLOSE_AFTER_ANSWER, Fault.RESET_MID_BODY]

    def faults() -> Faults | None:
        return Faults.script(rough) if way == "rough" else None

    steps = over_the_network(tmp_path / "whole", faults(), ()).steps
    cancelled = 0
    for at in range(1, steps + 1, 1 if full else 23):
        cancelled += over_the_network(tmp_path / f"{at}", faults(), (at,)).cancelled
    print(f"\nsockets, {way}: {steps} steps, {cancelled} runs cancelled")  # noqa: T201  figures
    assert cancelled > 0


async def test_a_cancelled_run_says_so_in_its_books(tmp_path):
    server = LedgerTransport()
    held = asyncio.Event()

    async def hold(request, on_stage, post=server.post):
        attempt = await post(request, on_stage)
        if server.posts > 1:
            held.set()
            await asyncio.Event().wait()
        return attempt

    server.post = hold
    async with client_of("http://localhost", transport=server) as mobiz:
        outcomes: list[Outcome] = []
        async with asyncio.timeout(5.0):
            with pytest.raises(asyncio.CancelledError):  # noqa: PT012  leaving the block is part of it
                async with mobiz.bulk("1", SOURCE, chunk_size=7) as run:
                    task = asyncio.create_task(run.finish())
                    await held.wait()
                    task.cancel()
                    await task
        outcomes.extend(chunk.outcome for chunk in run.report.failures)

    assert (run.report.accepted, run.report.unknown, outcomes) == (7, 7, [Outcome.UNKNOWN])
