"""A journal in a database is held by a lease, which may run out under a run that lives: nothing goes out twice then."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping

import attrs
import pytest
from eighteen import SOURCE

from mobiz_async import MobizClient
from mobiz_async.errors import JournalError
from mobiz_async.journal import ChunkState, Intent, MemoryJournal, Part, Recalled, Settlement
from mobiz_async.models import RetryPolicy
from mobiz_async.testing import FakeClock, FakeTransport, Hold, accepted, throttled
from mobiz_async.testing.journal_contract import JournalContract


@attrs.define(eq=False)
class Database:
    """What the workers share: the rows of one campaign, who holds them, and until when."""

    rows: MemoryJournal = attrs.field(factory=MemoryJournal)
    now: float = 0.0
    holder: LeasedJournal | None = None
    until: float = 0.0


class LeasedJournal:
    """A worker's way to the rows. Each call asks, in the transaction that writes, whether they are still its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _hold(self) -> MemoryJournal:
        if self._database.holder is not self:
            raise JournalError("the lease has run out, and somebody else has the journal")
        self._database.until = self._database.now + 60.0
        return self._database.rows

    async def open(self, identity: Mapping[str, str] | None) -> bool:
        database = self._database
        if database.holder is not None and database.now < database.until:
            raise JournalError("the journal is in use")
        await database.rows.close()
        found = await database.rows.open(identity)
        database.holder = self
        self._hold()
        return found

    async def identity(self) -> Mapping[str, str]:
        return await self._hold().identity()

    async def recall(self, index: int, body: bytes | bytearray) -> Recalled | None:
        return await self._hold().recall(index, body)

    async def intend(self, intent: Intent) -> None:
        await self._hold().intend(intent)

    async def settle(self, settlement: Settlement) -> bool:
        return self._database.holder is self and await self._hold().settle(settlement)

    async def resolve(self, index: int, *, accepted: bool) -> int:
        return await self._hold().resolve(index, accepted=accepted)

    async def note_end(self, records: int) -> None:
        await self._hold().note_end(records)

    async def end(self) -> int | None:
        return await self._hold().end()

    async def parts(self, *states: ChunkState) -> AsyncIterator[Part]:
        async for part in self._hold().parts(*states):
            yield part

    async def body(self, index: int, start: int) -> bytes | None:
        return await self._hold().body(index, start)

    async def close(self) -> None:
        if self._database.holder is self:
            self._database.holder = None
            await self._database.rows.close()


class TestLeasedJournal(JournalContract):
    @pytest.fixture
    def make_journal(self):
        database = Database()
        return lambda: LeasedJournal(database)


def worker(transport: FakeTransport, clock: FakeClock | None = None) -> MobizClient:
    return MobizClient(
        transport=transport, clock=clock or FakeClock(auto=True), retry=RetryPolicy(throttle_base=100.0), concurrency=2
    )


async def campaign(mobiz: MobizClient, database: Database):
    return await mobiz.send_bulk("1", SOURCE, chunk_size=4, journal=LeasedJournal(database))


def bodies_that_reached(*servers: FakeTransport) -> Counter[str]:
    return Counter(str(record["Number"]) for server in servers for post in server.requests for record in post.records)


async def test_a_run_that_lost_its_lease_while_a_body_was_out_sends_nothing_more_and_nobody_sends_that_body_again():
    database = Database()
    slow, quick = FakeTransport([accepted, Hold()]), FakeTransport()
    clock = FakeClock()
    async with worker(slow, clock) as first, worker(quick) as second:
        stalled = asyncio.create_task(campaign(first, database))
        await slow.until(lambda: slow.held == 1 and len(slow.requests) == 5)  # the other chunks pass it by
        await clock.settle()
        database.now = 60.0
        taken_over = await campaign(second, database)
        slow.release()
        with pytest.raises(JournalError, match="takes no outcome") as caught:
            await stalled

    assert (taken_over.accepted, taken_over.unknown) == (14, 4)
    assert quick.requests == []
    assert set(bodies_that_reached(slow, quick).values()) == {1}
    assert (caught.value.report.accepted, caught.value.report.unknown) == (18, 0)


async def test_a_chunk_that_waits_for_its_next_attempt_is_sent_by_whoever_has_the_lease_then():
    database = Database()
    refusing, taking = FakeTransport([throttled()]), FakeTransport()
    clock = FakeClock()
    async with worker(refusing, clock) as first, worker(taking) as second:
        waiting = asyncio.create_task(campaign(first, database))
        await clock.settle()
        database.now = 60.0
        taken_over = await campaign(second, database)
        await clock.advance(1000.0)
        with pytest.raises(JournalError, match="the lease has run out"):
            await waiting

    assert (taken_over.accepted, taken_over.unknown) == (18, 0)
    assert len(refusing.requests) == 1
    assert set(bodies_that_reached(taking).values()) == {1}


async def test_a_lease_that_is_renewed_keeps_everybody_else_out():
    database = Database()
    slow, other = FakeTransport([accepted, Hold()]), FakeTransport()
    async with worker(slow) as first, worker(other) as second:
        sending = asyncio.create_task(campaign(first, database))
        await slow.until(lambda: slow.held == 1)
        database.now = 59.0

        with pytest.raises(JournalError, match="in use"):
            await campaign(second, database)

        slow.release()
        report = await sending

    assert (report.accepted, other.requests) == (18, [])
