"""Both journals, made anew or found again, for suites that hold for every one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from eighteen import SOURCE

from mobiz_async import MobizClient
from mobiz_async.journal import ChunkState, Journal, MemoryJournal, SQLiteJournal, summarize
from mobiz_async.models import Pace, RetryPolicy, Timeouts
from mobiz_async.sandbox import Sandbox
from mobiz_async.testing import FakeClock

IDENTITY = {"list id": "1", "chunk size": "4", "checks": "none"}


@attrs.define
class Shelf:
    """Where a journal is kept between two uses."""

    kind: str
    path: Path
    _memory: MemoryJournal = attrs.field(factory=MemoryJournal)

    def journal(self) -> Journal:
        """The journal, as a later run would name it."""
        return self._memory if self.kind == "memory" else SQLiteJournal(self.path)


@pytest.fixture(params=["memory", "sqlite"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return Shelf(request.param, tmp_path / "run.journal")


@pytest.fixture
async def opened(shelf: Shelf) -> AsyncIterator[Any]:
    journal = shelf.journal()
    await journal.open(IDENTITY)
    yield journal
    await journal.close()


@pytest.fixture
def identity() -> Callable[..., dict[str, str]]:
    """The run's identity, with changes; spaces in the names stand as underscores."""
    return lambda **changes: {**IDENTITY, **{name.replace("_", " "): value for name, value in changes.items()}}


# Runs of eighteen recipients on the journal of the shelf


@pytest.fixture
async def sandbox():
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def mobiz(sandbox):
    client = MobizClient(
        "sandbox-api-key",
        "sandbox-subscription-key",
        base_url=sandbox.base_url,
        retry=RetryPolicy(max_attempts=2, base=0.0, throttle_base=0.0),
        timeouts=Timeouts(read=5.0),
        pace=Pace(concurrency=2, throttle_pause=0.0),
        clock=FakeClock(auto=True, grace=0.01),
    )
    async with client:
        yield client


@pytest.fixture
def send(mobiz, shelf):
    """One run on the shelf's journal, chunks of 4 records: 5 of them, the last of 2."""

    async def send(source: Any = SOURCE, list_id: str = "1", **options: Any) -> Any:
        return await mobiz.send_bulk(list_id, source, journal=shelf.journal(), **{"chunk_size": 4, **options})

    return send


@pytest.fixture
def look(shelf):
    async def look() -> dict[ChunkState, int]:
        journal = shelf.journal()
        await journal.open(None)
        summary = summarize([part async for part in journal.parts()])
        await journal.close()
        return {state: records for state, records in summary.records.items() if records}

    return look
