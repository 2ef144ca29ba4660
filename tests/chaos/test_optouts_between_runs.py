"""Runs that are broken off anywhere and go on, while recipients opt out, against what a naive reader would expect.

Chunks are full by count or by bytes, records are bad, doubled or refused by the server, and a run ends in any of the
ways it can. Its random choices are the seed's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from ledger_transport import LedgerTransport, Meets

from mobiz_async import InvalidRecordError, MobizClient, OnRejected, OnUnknown, RetryPolicy, SourceError
from mobiz_async.errors import JournalError
from mobiz_async.journal import ChunkState, MemoryJournal
from mobiz_async.testing import FakeClock


class CallbackError(Exception):
    """A mistake in the caller's code."""


_ENDS = (CallbackError, InvalidRecordError, SourceError, JournalError)
_SETTLED = {ChunkState.ACCEPTED, ChunkState.REJECTED, ChunkState.UNKNOWN}


class FailingJournal(MemoryJournal):
    """Fails at the n-th call that a run makes of it, and from then on."""

    calls_left = 0

    def _called(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise JournalError("the disk is full")

    async def recall(self, *arguments: Any) -> Any:
        self._called()
        return await super().recall(*arguments)

    async def intend(self, *arguments: Any) -> None:
        self._called()
        await super().intend(*arguments)

    async def settle(self, *arguments: Any) -> bool:
        self._called()
        return await super().settle(*arguments)


class Watching(LedgerTransport):
    """Refuses to be sent anything for who has opted out."""

    opted_out: set[str]

    async def post(self, request: Any, on_stage: Any) -> Any:
        assert not any(number.encode() in bytes(request.body) for number in self.opted_out)
        return await super().post(request, on_stage)


class Story:
    """Several runs on one journal."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = Random(seed)
        count = chance.choice([2, 5, 9, 14])
        self.source: list[Any] = [
            {"Number": f"2782{at:07d}", "Message": "x" * chance.choice([0, 20, 60])} for at in range(count)
        ]
        for at in range(1, count):
            if chance.random() < 0.1:
                self.source[at] = chance.choice([None, dict(self.source[0])])
        self.numbers = [one["Number"] if one else "" for one in self.source]
        self.options = {
            "chunk_size": chance.choice([1, 3, 5]),
            "max_chunk_bytes": chance.choice([110, 150, 150, 10_000]),
            "concurrency": chance.choice([1, 2, 3]),
            "dedupe": "Number",
            "on_invalid": "skip",
        }
        self.server = Watching(bad=chance.sample(self.numbers[:1], chance.choice([0, 0, 1])))
        self.server.opted_out = set()
        self.journal = FailingJournal()

    async def told(self) -> None:
        for _ in range(self.chance.randrange(4)):
            await self.run(calm=False)
            await self.look()
            self.server.opted_out.update(self.chance.sample(self.numbers, self.chance.choice([0, 1, 2, 2])))
            self.server.opted_out.discard("")
        await self.run(calm=True)
        states = await self.look()
        left = {state for number, state in states.items() if number not in self.server.opted_out}
        assert left <= _SETTLED

    async def run(self, *, calm: bool) -> None:
        chance = self.chance
        end = "none" if calm else chance.choice(["none", "stop", "cancel", "source", "journal", "callback"])
        meets = [*Meets] if chance.random() < 0.5 and not calm else [Meets.NOTHING]
        self.server._script = iter(lambda: chance.choice(meets), None)
        self.journal.calls_left = chance.randrange(25) if end == "journal" else 10_000
        told: list[int] = []

        def skipped(problem: Any) -> None:
            told.append(problem.row)
            if end == "callback":
                raise CallbackError

        async def ended(run: Any) -> None:
            for _ in range(chance.randrange(80)):
                await asyncio.sleep(0)
            run.stop() if end == "stop" else task.cancel()

        client = MobizClient(transport=self.server, clock=FakeClock(auto=True), retry=RetryPolicy(max_attempts=2))
        options = {
            **self.options,
            "on_unknown": OnUnknown.KEEP,
            "on_rejected": chance.choice([OnRejected.KEEP, OnRejected.SPLIT]),
        }
        suppress = sorted(self.server.opted_out)
        async with (
            client,
            client.bulk(
                "1", self.read(end), journal=self.journal, suppress=suppress, on_skipped=skipped, **options
            ) as run,
        ):
            task = asyncio.create_task(run.finish())
            ending = asyncio.create_task(ended(run)) if end in {"stop", "cancel"} else None
            with contextlib.suppress(*_ENDS, asyncio.CancelledError):
                await task
            if ending is not None:
                await ending
        report = run.report
        assert report.accepted + report.rejected + report.not_sent + report.unknown + report.skipped == report.read
        assert (len(set(told)), len(told)) == (len(told), report.skipped) or end == "callback"
        assert not calm or (report.read, report.not_sent, report.stopped) == (len(self.source), 0, None)

    def read(self, end: str) -> Iterator[Any]:
        last = self.chance.randrange(len(self.source))
        for at, record in enumerate(self.source):
            if end == "source" and at == last:
                raise OSError
            yield record

    async def look(self) -> dict[str, ChunkState]:
        """What the journal says of each number, which is what the server knows: nobody twice, nobody by mistake."""
        rows: Counter[int] = Counter()
        states: dict[str, ChunkState] = {}
        async for part in self.journal.parts():
            for first, length in part.rows:
                rows.update(range(first, first + length))
                states.update((self.numbers[row - 1], part.state) for row in range(first, first + length))
        may_be = {ChunkState.ACCEPTED: {1}, ChunkState.INTENDED: {0, 1}, ChunkState.UNKNOWN: {0, 1}}
        assert set(rows.values()) <= {1}
        assert all(self.server.applied[number] in may_be.get(state, {0}) for number, state in states.items())
        assert set(self.server.applied) <= set(states)
        return states


STORIES = 3_000 if os.environ.get("MOBIZ_CHAOS") == "full" else 120


@pytest.mark.parametrize("first", range(0, STORIES, 30))
async def test_runs_that_are_broken_off_and_go_on_text_nobody_twice_nor_who_has_opted_out(first) -> None:
    for seed in range(first, first + 30):
        await Story(seed).told()
