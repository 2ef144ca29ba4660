"""A run that is sent, crashed, resumed and resolved in any order, under every fault: sets of records as the model.

The model is five sets: what the server applied, what it applied more than once, what was ever reported unknown, what
the journal says now, and who has opted out meanwhile. The server is the sandbox; a crash freezes the journal as it lies
on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from chaos_stand import IMPATIENT, Disk, broken, client_of, copy_journal, watched
from ground_truth import by_record, check, numbers
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mobiz_async.errors import JournalError
from mobiz_async.journal import ChunkState, Event, MemoryJournal, SQLiteJournal
from mobiz_async.journal.protocol import Intent, Settlement
from mobiz_async.models import OnRejected, OnUnknown
from mobiz_async.sandbox import Fault, Faults, Injection, Sandbox
from mobiz_async.testing import FakeClock

SIZE, CHUNKS = 3, 5
SOURCE = numbers(SIZE * CHUNKS - 1)
FULL = os.environ.get("MOBIZ_CHAOS") == "full"
HANGS = (Fault.HANG_UNAPPLIED, Fault.HANG_AFTER_APPLY)

faults = st.sampled_from([fault for fault in Fault if fault not in HANGS] * 2 + list(HANGS)).map(
    lambda fault: Injection(fault, retry_after=0, delay=0.0)
)
scripts = st.lists(st.none() | faults, max_size=12)


class Noting:
    """Notes what a journal is told is unknown; that is what a caller of RESEND has been warned of."""

    warned: set[int]
    """Rows."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.warned = set()
        self._rows: dict[tuple[int, int], list[int]] = {}

    async def intend(self, intent: Intent) -> None:
        rows = [row for first, length in intent.rows for row in range(first, first + length)]
        self._rows[intent.index, intent.start] = rows
        await super().intend(intent)

    async def settle(self, settlement: Settlement) -> bool:
        if settlement.event is Event.LOSE:
            self.warned.update(self._rows[settlement.index, settlement.start])
        return await super().settle(settlement)


class NotingSQLite(Noting, SQLiteJournal):
    pass


class NotingMemory(Noting, MemoryJournal):
    """A crash is a copy of what it holds, taken at the n-th write; the rest of the run goes on into the void."""

    crash_at = 0
    writes = 0
    frozen: MemoryJournal | None = None

    def _write(self) -> None:
        self.writes += 1
        if self.frozen is not None:
            raise JournalError("the power is gone")
        if self.writes == self.crash_at:
            self.frozen = type(self)()
            for name in ("_identity", "_parts", "_bodies", "_seals", "_end"):
                setattr(self.frozen, name, copy.deepcopy(getattr(self, name)))

    async def intend(self, intent: Intent) -> None:
        await super().intend(intent)
        self._write()

    async def settle(self, settlement: Settlement) -> bool:
        settled = await super().settle(settlement)
        self._write()
        return settled


class LifeMachine(RuleBasedStateMachine):
    kind = "memory"
    place: Path

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(dir=self.place))
        self.path = self.folder / "run.journal"
        self.generation = 0
        self.memory: Any = NotingMemory()
        self.sandbox = Sandbox()
        self.runner.run(self.sandbox.__aenter__())
        self.may_repeat: set[str] = set()
        self.opted_out: dict[str, int] = {}
        self.states: dict[str, ChunkState] = dict.fromkeys(SOURCE, ChunkState.PENDING)

    # Rules

    @rule(script=scripts, resend=st.booleans(), split=st.booleans(), concurrency=st.integers(1, 3))
    def send(self, script: Sequence[Injection | None], resend: bool, split: bool, concurrency: int) -> None:
        """The same call again: it begins, or goes on."""
        self.runner.run(self._run(script, resend, split, concurrency))

    @rule(
        script=scripts,
        resend=st.booleans(),
        split=st.booleans(),
        concurrency=st.integers(1, 3),
        at=st.integers(1, 14),
        torn=st.booleans(),
    )
    def crash(
        self, script: Sequence[Injection | None], resend: bool, split: bool, concurrency: int, at: int, torn: bool
    ) -> None:
        """The same call, and the power goes at the n-th write."""
        if self.kind == "memory":
            self.memory.writes, self.memory.crash_at = 0, at
            self.runner.run(self._run(script, resend, split, concurrency))
            if self.memory.frozen is not None:
                self.memory = self.memory.frozen
            self.memory.crash_at = 0
        else:
            self._crash_file(script, resend, split, concurrency, at, torn)

    def _crash_file(
        self, script: Sequence[Injection | None], resend: bool, split: bool, concurrency: int, at: int, torn: bool
    ) -> None:
        self.generation += 1
        copied = self.folder / str(self.generation)
        commits = 0

        def lose_power(sql: str) -> None:
            nonlocal commits
            if copied.exists():
                raise broken(sqlite3.SQLITE_IOERR, "SQLITE_IOERR", "disk I/O error")
            commits += sql == "COMMIT"
            if sql == "COMMIT" and commits == at:
                copy_journal(self.path, copied)
                if torn:
                    raise broken(sqlite3.SQLITE_IOERR, "SQLITE_IOERR", "disk I/O error")

        with watched(Disk(**{"before" if torn else "after": lose_power})):
            self.runner.run(self._run(script, resend, split, concurrency))
        if copied.exists():
            self.path = copied / self.path.name

    @rule(which=st.integers(0, CHUNKS - 1))
    def resolve(self, which: int) -> None:
        """The owner asks the vendor about an unknown chunk and settles it as it truly was."""
        self.runner.run(self._resolve(which))

    @rule(which=st.sampled_from(SOURCE))
    def opt_out(self, which: str) -> None:
        """A recipient wants no more texts than they have had by now."""
        self.opted_out.setdefault(which, self.sandbox.applied("1")[which])

    # What they do

    async def _run(self, script: Sequence[Injection | None], resend: bool, split: bool, concurrency: int) -> None:
        self.sandbox.faults = Faults.script(script)
        journal = self.memory if self.kind == "memory" else NotingSQLite(self.path)
        journal.warned.clear()
        before = {record for record, state in self.states.items() if state is ChunkState.UNKNOWN}
        if resend:
            self.may_repeat |= before
        clock = FakeClock(auto=True, grace=0.002)
        async with client_of(self.sandbox.base_url, read=0.05, clock=clock, retry=IMPATIENT) as mobiz:
            with contextlib.suppress(JournalError):
                report = await mobiz.send_bulk(
                    "1",
                    SOURCE,
                    chunk_size=SIZE,
                    concurrency=concurrency,
                    journal=journal,
                    on_unknown=OnUnknown.RESEND if resend else OnUnknown.KEEP,
                    on_rejected=OnRejected.SPLIT if split else OnRejected.KEEP,
                    suppress=sorted(self.opted_out),
                )
                assert report.read == len(SOURCE) or report.stopped is not None
        self.sandbox.faults = None
        self.sandbox.release()
        await self.sandbox.until(lambda: not self.sandbox._gateway.busy)
        if resend:
            self.may_repeat.update(SOURCE[row - 1] for row in journal.warned)

    async def _resolve(self, which: int) -> None:
        if ChunkState.UNKNOWN not in self.states.values():
            return
        journal = self.memory if self.kind == "memory" else NotingSQLite(self.path)
        await journal.open(None)
        applied = self.sandbox.applied("1")
        chunks: dict[int, set[bool]] = {}
        async for part in journal.parts(ChunkState.UNKNOWN):
            for first, length in part.rows:
                found = {applied[SOURCE[row - 1]] > 0 for row in range(first, first + length)}
                chunks.setdefault(part.index, set()).update(found)
        whole = sorted(index for index, found in chunks.items() if len(found) == 1)
        if whole:
            index = whole[which % len(whole)]
            await journal.resolve(index, accepted=chunks[index].pop())
        await journal.close()

    async def _look(self) -> None:
        journal = self.memory if self.kind == "memory" else SQLiteJournal(self.path)
        if self.kind == "sqlite" and not (self.path.exists() and self.path.stat().st_size):
            # Where the power goes before the schema is written, an empty file is left, which is as good as none.
            self.states = by_record([], SOURCE)
            return
        await journal.open(None)
        parts = [part async for part in journal.parts()]
        await journal.close()
        self.states = by_record(parts, SOURCE)

    # Rules that hold after each step

    @invariant()
    def the_journal_tells_the_truth(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self._look())
            check(self.states, self.sandbox.applied("1"), may_repeat=self.may_repeat)

    @invariant()
    def who_has_opted_out_is_not_texted_any_more(self) -> None:
        if hasattr(self, "runner"):
            applied = self.sandbox.applied("1")
            assert {number: applied[number] for number in self.opted_out} == self.opted_out

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self._end())
            self.runner.close()
            shutil.rmtree(self.folder)

    async def _end(self) -> None:
        """However it went, a calm server brings it to an end: nothing is pending, nothing is lost.

        But a chunk of which nobody can say whether one who has opted out had it stays as it is.
        """
        await self._run((), resend=True, split=False, concurrency=2)
        await self._look()
        check(self.states, self.sandbox.applied("1"), may_repeat=self.may_repeat)
        self.who_has_opted_out_is_not_texted_any_more()
        left = {state for number, state in self.states.items() if number not in self.opted_out}
        settled = {ChunkState.ACCEPTED, ChunkState.REJECTED}
        assert left <= (settled | {ChunkState.UNKNOWN} if self.opted_out else settled)
        await self.sandbox.__aexit__()


class FileMachine(LifeMachine):
    kind = "sqlite"


def run_machine(machine: type[LifeMachine], place: Path, examples: int) -> None:
    machine.place = place
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=12 if FULL else 6,
            deadline=None,
            database=None,
            derandomize=not FULL,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_order_of_send_crash_resume_and_resolve_with_a_journal_in_memory(tmp_path):
    run_machine(LifeMachine, tmp_path, 300 if FULL else 30)


def test_any_order_of_send_crash_resume_and_resolve_with_a_journal_in_a_file(tmp_path):
    run_machine(FileMachine, tmp_path, 150 if FULL else 10)
