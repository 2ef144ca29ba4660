"""Bulk runs that are watched, iterated, left early, and resumed."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from fakes import Gate, Network, accepted, client_on, counts, failed, replied, rows

from mobiz_async import (
    ChunkOutcome,
    InvalidPayloadError,
    JournalError,
    MemoryJournal,
    MobizClient,
    Outcome,
    OutcomeUnknownError,
    PayloadTooLargeError,
    RejectedError,
    RequestError,
    SourceChangedError,
    StopReason,
)
from mobiz_async.journal.protocol import Intent, Settlement
from mobiz_async.outlet import Outlet
from mobiz_async.sandbox import Fault, Faults, Injection, Sandbox
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Attempt, Failure, Stage

Make = Callable[..., MobizClient]


# Watching a run


async def test_outcomes_come_as_they_are_known_with_their_records() -> None:
    network = Network(lambda request, n: accepted(request) if n != 2 else replied(400))
    async with client_on(network) as client, client.bulk("1", rows(30), chunk_size=10, concurrency=1) as run:
        seen: list[ChunkOutcome] = [chunk async for chunk in run]
        report = await run.finish()

    assert [(c.index, c.outcome) for c in seen] == [(0, Outcome.ACCEPTED), (1, Outcome.REJECTED), (2, Outcome.ACCEPTED)]
    assert [*enumerate(rows(20)[10:], 11)] == list(seen[1].records())
    assert (list(seen[0].records()), [chunk.body for chunk in report.failures]) == ([], [None])


async def test_iterating_twice_or_after_the_end_ends_at_once() -> None:
    async with client_on(Network()) as client, client.bulk("1", rows(30), chunk_size=10) as run:

        async def indices() -> list[int]:
            return [chunk.index async for chunk in run]

        first = await asyncio.wait_for(indices(), 10)
        second = await asyncio.wait_for(indices(), 10)
        await run.finish()
        third = await asyncio.wait_for(indices(), 10)

    assert (sorted(first), second, third) == ([0, 1, 2], [], [])


async def test_finish_lets_an_iteration_elsewhere_end() -> None:
    gate = Gate()
    network = Network(lambda request, n: gate.passed(accepted(request)))
    async with client_on(network) as client, client.bulk("1", rows(30), chunk_size=10) as run:

        async def indices() -> list[int]:
            return [chunk.index async for chunk in run]

        iterating = asyncio.create_task(indices())
        finishing = asyncio.create_task(run.finish())
        await gate.until_waiting(1)
        gate.open.set()
        report = await finishing
        await asyncio.wait_for(iterating, 10)

    assert report.accepted == 30


async def test_a_run_goes_on_only_as_fast_as_it_is_iterated() -> None:
    network = Network()
    clock = FakeClock()
    async with client_on(network, clock) as client, client.bulk("1", rows(1_000), chunk_size=10, concurrency=2) as run:
        outcomes = aiter(run)
        await clock.settle()
        unwatched = network.count
        for _ in range(4):
            await anext(outcomes)
        await clock.settle()
        watched = network.count
        report = await run.finish()

    assert (unwatched <= 6, watched <= unwatched + 5, report.chunks) == (True, True, 100)


async def test_leaving_the_block_early_stops_the_run_and_finishes_what_is_in_flight() -> None:
    network = Network()
    async with client_on(network) as client, client.bulk("1", rows(1_000), chunk_size=10, concurrency=2) as run:
        async for _ in run:
            break

    assert (run.report.stopped, network.count <= 6) == (StopReason.ASKED, True)
    assert run.report.accepted == 10 * network.count


async def test_an_error_in_the_block_stops_the_run_and_goes_on_its_way() -> None:
    network = Network()
    async with client_on(network) as client:
        run = None
        with pytest.raises(KeyError):
            async with client.bulk("1", rows(1_000), chunk_size=10, concurrency=2) as run:
                raise KeyError

    assert run.report.stopped is StopReason.ASKED
    assert run.report.read == run.report.accepted + run.report.not_sent


async def test_stats_are_live_and_a_run_shows_them() -> None:
    gate = Gate()
    network = Network(lambda request, n: accepted(request) if n == 1 else gate.passed(accepted(request)))
    async with client_on(network) as client, client.bulk("1", rows(100), chunk_size=10, concurrency=2) as run:
        await gate.until_waiting(2)
        stats = (run.stats.accepted, run.stats.in_flight, run.stats.requests)
        shown = repr(run)
        gate.open.set()
        await run.finish()

    assert stats == (10, 2, 3)
    assert "BulkRun of list 1" in shown
    assert "2782" not in shown
    assert run.stats.in_flight == 0


async def test_the_report_holds_the_first_and_the_last_failures_and_exact_totals() -> None:
    async with client_on(Network(lambda request, n: replied(400))) as client:
        report = await client.send_bulk("1", rows(100), chunk_size=1, failures_kept=2, concurrency=1)

    assert (
        [chunk.index for chunk in report.failures],
        report.failed_chunks,
        report.rejected,
    ) == ([0, 1, 98, 99], 100, 100)


async def test_a_report_survives_pickling() -> None:
    async with client_on(Network(lambda request, n: replied(400))) as client:
        report = await client.send_bulk("1", rows(10))

    assert counts(report) == counts(pickle.loads(pickle.dumps(report)))


# With a journal, as far as the run itself is concerned


async def test_the_same_call_with_the_same_journal_sends_only_what_is_left() -> None:
    journal = MemoryJournal()
    network = Network(lambda request, n: accepted(request) if n < 3 else replied(401))
    async with client_on(network) as client:
        first = await client.send_bulk("1", rows(50), chunk_size=10, concurrency=1, journal=journal)
        network.answer = accepted
        second = await client.send_bulk("1", rows(50), chunk_size=10, concurrency=1, journal=journal)

    assert (first.accepted, first.rejected, first.stopped) == (20, 10, StopReason.CREDENTIALS)
    assert (counts(second), second.resumed, network.count) == ({"accepted": 50}, 20, 6)


@pytest.mark.parametrize(
    ("reply", "kind", "reference"),
    [
        (replied(400, {"statusCode": 400, "message": "no", "activityId": "id-of-it"}), InvalidPayloadError, "id-of-it"),
        (replied(422), InvalidPayloadError, None),
        (replied(413), PayloadTooLargeError, None),
        (replied(410), RejectedError, None),
        (replied(200, {"status": 0, "message": "no"}), RejectedError, None),
        (replied(500, {"statusCode": 500, "activityId": "id-of-it"}), OutcomeUnknownError, "id-of-it"),
    ],
)
async def test_what_an_earlier_run_left_has_an_error_of_the_class_that_it_had_then(
    reply: Attempt, kind: type[RequestError], reference: str | None
) -> None:
    journal = MemoryJournal()
    network = Network(lambda request, n: reply)
    async with client_on(network) as client:
        first = await client.send_bulk("1", rows(10), journal=journal)
        second = await client.send_bulk("1", rows(10), journal=journal)

    known = [
        (type(error), error.operation, error.status, error.attempts, error.reference)
        for error in (first.failures[0].error, second.failures[0].error)
        if error is not None
    ]
    assert known == [(kind, "SendBulkMessages", reply.reply.status if reply.reply else None, 1, reference)] * 2
    assert (counts(second), second.resumed, network.count) == (counts(first), 10, 1)


async def test_a_chunk_an_earlier_run_left_unknown_is_kept_unknown() -> None:
    journal = MemoryJournal()
    network = Network(lambda request, n: accepted(request) if n != 2 else failed())
    async with client_on(network) as client:
        await client.send_bulk("1", rows(30), chunk_size=10, concurrency=1, journal=journal)
        report = await client.send_bulk("1", rows(30), chunk_size=10, concurrency=1, journal=journal)

    assert (counts(report), report.resumed, network.count) == ({"accepted": 20, "unknown": 10}, 30, 3)


async def test_what_an_earlier_run_left_unknown_stays_so_when_its_resend_was_not_sent() -> None:
    journal = MemoryJournal()
    network = Network(lambda request, n: failed())
    async with client_on(network) as client:
        await client.send_bulk("1", rows(10), journal=journal)
        network.answer = lambda request, n: failed(Stage.CONNECTING, Failure.CONNECT)
        report = await client.send_bulk("1", rows(10), journal=journal, on_unknown="resend")
        network.answer = accepted
        again = await client.send_bulk("1", rows(10), journal=journal)

    assert (counts(report), counts(again)) == ({"unknown": 10}, {"unknown": 10})


async def test_slow_answers_do_not_matter(client: MobizClient, sandbox: Sandbox) -> None:
    sandbox.faults = Faults.always(Injection(Fault.SLOW_ANSWER, delay=0.001))

    assert (await client.send_bulk("1", rows(30), chunk_size=10)).accepted == 30


async def test_a_source_that_has_changed_ends_the_run_before_anything_of_it_is_sent() -> None:
    journal = MemoryJournal()
    network = Network(lambda request, n: accepted(request) if n < 3 else replied(401))
    async with client_on(network) as client:
        await client.send_bulk("1", rows(50), chunk_size=10, concurrency=1, journal=journal)
        changed = rows(50)
        changed[14]["Message"] = "new"
        with pytest.raises(SourceChangedError, match="record 15 differs") as raised:
            await client.send_bulk("1", changed, chunk_size=10, concurrency=1, journal=journal)

    assert (raised.value.row, network.count, raised.value.report.accepted) == (15, 3, 14)


async def test_a_source_that_has_become_shorter_has_changed() -> None:
    journal = MemoryJournal()
    async with client_on(Network()) as client:
        await client.send_bulk("1", rows(50), chunk_size=10, journal=journal)
        with pytest.raises(SourceChangedError, match="record 31 differs"):
            await client.send_bulk("1", rows(30), chunk_size=10, journal=journal)


@pytest.mark.parametrize("options", [{"chunk_size": 5}, {"common": {"Message": "new"}}, {"max_chunk_bytes": 5_000}])
async def test_a_journal_of_another_run_is_refused_before_anything_is_sent(options: dict) -> None:
    journal = MemoryJournal()
    network = Network()
    async with client_on(network) as client:
        await client.send_bulk("1", rows(10), journal=journal)
        with pytest.raises(JournalError, match="belongs to another run"):
            await client.send_bulk("1", rows(10), journal=journal, **options)
        with pytest.raises(JournalError, match="different list id"):
            await client.send_bulk("2", rows(10), journal=journal)

    assert network.count == 1


class FullDisk(MemoryJournal):
    """A journal that fails at its n-th write of one kind."""

    def __init__(self, failing: str, at: int) -> None:
        super().__init__()
        self._failing, self._at = failing, at

    def _count(self, kind: str) -> None:
        if kind == self._failing:
            self._at -= 1
            if self._at <= 0:
                raise JournalError("the disk is full")

    async def intend(self, intent: Intent) -> None:
        self._count("intend")
        await super().intend(intent)

    async def settle(self, settlement: Settlement) -> bool:
        self._count("settle")
        return await super().settle(settlement)


@pytest.mark.parametrize(("failing", "posts"), [("intend", 2), ("settle", 3)])
async def test_a_journal_that_fails_ends_the_run_and_nothing_goes_out_without_it(failing: str, posts: int) -> None:
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(JournalError, match="disk is full") as raised:
            await client.send_bulk("1", rows(100), chunk_size=10, concurrency=1, journal=FullDisk(failing, 3))

    report = raised.value.report
    assert (posts, StopReason.JOURNAL, report.read) == (
        network.count,
        report.stopped,
        report.accepted + report.not_sent,
    )
    assert report.accepted == 10 * posts


@pytest.mark.parametrize(("failing", "posts"), [("intend", 2), ("settle", 3)])
async def test_who_iterates_is_given_all_that_counts_when_the_journal_fails(failing: str, posts: int) -> None:
    """Also the chunk that was accepted, and whose outcome the journal did not take."""
    options: dict[str, Any] = {"chunk_size": 10, "concurrency": 1, "journal": FullDisk(failing, 3)}
    seen: list[ChunkOutcome] = []

    async def watch(client: MobizClient) -> None:
        async with client.bulk("1", rows(50), **options) as run:
            async for chunk in run:
                seen.append(chunk)  # noqa: PERF401  it raises at its end

    async with client_on(network := Network()) as client:
        with pytest.raises(JournalError, match="disk is full") as raised:
            await watch(client)

    report = raised.value.report
    given = {outcome: sum(chunk.count for chunk in seen if chunk.outcome is outcome) for outcome in Outcome}
    assert (network.count, given[Outcome.ACCEPTED], given[Outcome.UNKNOWN]) == (posts, report.accepted, report.unknown)
    assert report.accepted == 10 * posts


async def test_who_iterates_is_given_a_chunk_whose_transport_was_cancelled() -> None:
    """By something that it waited for itself: the run goes on without it."""

    async def cancelled() -> Attempt:
        raise asyncio.CancelledError

    network = Network(lambda request, n: cancelled() if n == 2 else accepted(request))
    async with client_on(network) as client, client.bulk("1", rows(30), chunk_size=10, concurrency=1) as run:
        seen = {chunk.index: chunk.outcome async for chunk in run}

    assert seen == {0: Outcome.ACCEPTED, 1: Outcome.UNKNOWN, 2: Outcome.ACCEPTED}


async def test_a_journal_in_use_is_refused() -> None:
    journal = MemoryJournal()
    gate = Gate()
    async with client_on(Network(lambda request, n: gate.passed(accepted(request)))) as client:
        task = asyncio.create_task(client.send_bulk("1", rows(10), journal=journal))
        await gate.until_waiting(1)
        with pytest.raises(JournalError, match="in use"):
            await client.send_bulk("1", rows(10), journal=journal)
        gate.open.set()

        assert (await task).accepted == 10


async def test_whoever_iterates_gets_the_records_however_many_outcomes_wait() -> None:
    """Workers that end at the same moment hand over more than there is room for; a file of rejects needs them all."""
    outlet = Outlet(1)
    outlet.iterated()
    chunks = [ChunkOutcome(index, 1, 1, Outcome.REJECTED, body=b"[1]") for index in range(3)]
    for chunk in chunks:
        outlet.put(chunk)
    waiting = [asyncio.create_task(outlet.room()) for _ in chunks]
    await asyncio.sleep(0)

    bodies = [(await outlet.take()).body for _ in chunks]
    await asyncio.gather(*waiting)

    assert bodies == [b"[1]"] * 3
