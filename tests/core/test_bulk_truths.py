"""What a bulk run says at its end is true, also where it was cut short: on resume, on cancellation, of its journal."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from fakes import Gate, Network, accepted, agen, client_on, counts, failed, replied, rows

from mobiz_async import AttemptEvent, ConfigurationError, MemoryJournal, OnUnknown, Outcome, StopReason
from mobiz_async.errors import JournalError, SourceChangedError
from mobiz_async.journal import Intent, Recalled, Settlement
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Stage


class Breaking(MemoryJournal):
    """A journal that fails from the moment it is told to, at what it is told to."""

    broken: frozenset[str] = frozenset()

    def _check(self, what: str) -> None:
        if what in self.broken:
            raise JournalError("the disk is gone")

    async def recall(self, index: int, body: bytes | bytearray) -> Recalled | None:
        self._check("recall")
        return await super().recall(index, body)

    async def intend(self, intent: Intent) -> None:
        self._check("intend")
        await super().intend(intent)

    async def settle(self, settlement: Settlement) -> bool:
        self._check("settle")
        return await super().settle(settlement)


async def left_unknown(journal: MemoryJournal, count: int = 30, **options: Any) -> None:
    """Leave a journal whose chunks of ten are accepted, and unknown from the second on."""
    network = Network(lambda request, n: accepted(request) if n == 1 else failed())
    async with client_on(network) as client:
        report = await client.send_bulk("1", rows(count), chunk_size=10, journal=journal, **options)
    assert counts(report) == {"accepted": 10, "unknown": count - 10}


# What is known of an earlier run


@pytest.mark.parametrize(
    ("broken", "count", "on_unknown", "books"),
    [
        pytest.param("recall", 40, OnUnknown.KEEP, (0, 10, 30), id="nothing can be asked: whatever may have been sent"),
        pytest.param("intend", 30, OnUnknown.RESEND, (10, 0, 20), id="the resend fails: all else is as it was"),
    ],
)
async def test_what_may_have_been_sent_is_never_called_not_sent_where_the_journal_fails_on_the_way(
    broken: str, count: int, on_unknown: OnUnknown, books: tuple[int, int, int]
) -> None:
    journal = Breaking()
    await left_unknown(journal)
    journal.broken = frozenset({broken})

    async with client_on(Network()) as client:
        with pytest.raises(JournalError) as raised:
            await client.send_bulk("1", rows(count), chunk_size=10, journal=journal, on_unknown=on_unknown)

    report = raised.value.report
    assert report is not None
    assert (report.accepted, report.not_sent, report.unknown) == books


async def test_what_an_outcome_calls_pending_is_what_the_resumed_run_sends() -> None:
    answers = {1: replied(200, {"status": 1}), 2: replied(400), 3: failed(), 4: replied(401)}
    journal = MemoryJournal()
    network = Network(lambda _, n: answers[n])
    async with (
        client_on(network, concurrency=1) as client,
        client.bulk("1", rows(50), chunk_size=10, journal=journal) as run,
    ):
        told = [outcome async for outcome in run]

    resumed = Network()
    async with client_on(resumed) as client:
        await client.send_bulk("1", rows(50), chunk_size=10, journal=journal)

    sent = {int(body[0]["Number"]) - int(rows(1)[0]["Number"]) + 1 for body in resumed.bodies}
    assert {(one.first_record, one.outcome) for one in told} == {
        (1, Outcome.ACCEPTED),
        (11, Outcome.REJECTED),
        (21, Outcome.UNKNOWN),
        (31, Outcome.REJECTED),
        (41, Outcome.NOT_SENT),
    }
    assert {one.first_record for one in told if one.pending} == {31, 41} == sent


async def test_a_journal_that_raises_what_it_should_not_makes_no_report_less_true() -> None:
    class Raw(Breaking):
        def _check(self, what: str) -> None:
            if what in self.broken:
                raise ConnectionResetError("the database went away")

    journal = Raw()
    await left_unknown(journal)
    journal.broken = frozenset({"recall"})

    async with client_on(Network()) as client:
        with pytest.raises(JournalError, match="the journal raised ConnectionResetError") as raised:
            await client.send_bulk("1", rows(40), chunk_size=10, journal=journal)

    report = raised.value.report
    assert report is not None
    assert (report.accepted, report.not_sent, report.unknown, report.stopped) == (0, 10, 30, StopReason.JOURNAL)


async def test_a_journal_that_somebody_else_has_taken_over_ends_the_run() -> None:
    """Else the run would call accepted what the journal calls unknown, and the next one might send it again."""

    class Unlocked(MemoryJournal):
        """Its lock was lost, and somebody else has opened it while the first request was under way."""

        async def settle(self, settlement: Settlement) -> bool:
            if self._open:
                self._open = False
                await self.open(None)
            return await super().settle(settlement)

    network = Network()
    async with client_on(network) as client:
        with pytest.raises(JournalError, match="somebody else") as raised:
            await client.send_bulk("1", rows(40), chunk_size=10, concurrency=1, journal=Unlocked())

    report = raised.value.report
    assert report is not None
    assert (report.accepted, report.not_sent, report.stopped, report.ok) == (10, 30, StopReason.JOURNAL, False)
    assert network.count == 1


async def test_what_a_callback_breaks_off_leaves_the_rest_as_the_journal_has_it() -> None:
    journal = MemoryJournal()
    await left_unknown(journal)

    def progress(stats: Any) -> None:
        raise ValueError("no screen")

    options = {"chunk_size": 10, "journal": journal, "progress": progress}
    async with client_on(Network()) as client, client.bulk("1", rows(30), **options) as run:
        with pytest.raises(ValueError, match="no screen"):
            await run.finish()

    assert run.report is not None
    assert counts(run.report) == {"accepted": 10, "unknown": 20}


async def test_chunks_that_are_no_longer_made_are_a_change_of_the_source() -> None:
    """Records that are no good any more, say, where an earlier run may have sent them."""
    journal = MemoryJournal()
    await left_unknown(journal, 20)

    source = [*rows(10), *[{"Number": None}] * 10]
    async with client_on(Network()) as client:
        with pytest.raises(SourceChangedError) as raised:
            await client.send_bulk("1", source, chunk_size=10, journal=journal, on_invalid="skip")

    assert raised.value.row == 11


async def test_a_resume_pays_no_pace_for_what_it_does_not_send_and_its_first_request_goes_alone() -> None:
    journal = MemoryJournal()
    async with client_on(Network()) as client:
        await client.send_bulk("1", agen(rows(600)), chunk_size=10, journal=journal, deadline=1e9)
        clock = FakeClock(auto=True)
        network = Network(lambda request, n: replied(401))
        await journal.open(None)
        journal._parts = {index: parts for index, parts in journal._parts.items() if index < 50}
        journal._seals = {index: seal for index, seal in journal._seals.items() if index < 50}
        await journal.close()
    async with client_on(network, clock) as client:
        report = await client.send_bulk("1", rows(600), chunk_size=10, journal=journal, records_per_second=1)

    assert (network.count, report.resumed, report.stopped) == (1, 500, StopReason.CREDENTIALS)
    assert clock.monotonic() < 30


# How it ended


@pytest.mark.parametrize("ended", ["stop", "deadline"])
async def test_a_run_that_was_stopped_when_all_of_it_had_gone_was_not_cut_short(ended: str) -> None:
    gate, clock = Gate(), FakeClock()
    network = Network(lambda request, n: gate.passed(accepted(request)))
    async with client_on(network, clock) as client, client.bulk("1", rows(10), deadline=5) as run:
        await gate.until_waiting(1)
        await clock.settle()
        if ended == "stop":
            run.stop()
        else:
            await clock.advance(6)
        gate.open.set()
        report = await run.finish()

    assert (counts(report), report.stopped, report.ok) == ({"accepted": 10}, None, True)


async def test_a_journal_that_fails_is_not_passed_over_because_the_run_was_ending() -> None:
    gate, journal = Gate(), Breaking()
    network = Network(lambda request, n: gate.passed(accepted(request)))
    async with client_on(network) as client, client.bulk("1", rows(100), chunk_size=10, journal=journal) as run:
        await gate.until_waiting(1)
        run.stop()
        journal.broken = frozenset({"settle"})
        gate.open.set()
        with pytest.raises(JournalError):
            await run.finish()

    assert run.report is not None
    assert (run.report.stopped, run.report.accepted) == (StopReason.JOURNAL, 10)


async def test_a_journal_that_cannot_be_opened_ends_a_run_with_empty_books() -> None:
    journal = MemoryJournal()
    await journal.open({})
    async with client_on(Network()) as client:
        with pytest.raises(JournalError, match="in use") as raised:
            await client.send_bulk("1", rows(10), journal=journal)

    assert raised.value.report is not None
    assert (raised.value.report.read, raised.value.report.stopped) == (0, StopReason.JOURNAL)


async def test_the_failure_rate_is_looked_at_when_a_chunk_is_done_and_not_while_it_is_halved() -> None:
    def answer(request: Any, n: int) -> Any:
        bad = b'"27820000000"' in bytes(request.body)
        return replied(400) if bad else accepted(request)

    async with client_on(Network(answer)) as client:
        report = await client.send_bulk("1", rows(100), chunk_size=10, on_rejected="split", max_failure_rate=0.5)

    assert (counts(report), report.stopped) == ({"accepted": 99, "rejected": 1}, None)


async def test_what_an_async_source_gave_before_it_was_broken_off_is_handed_out() -> None:
    given = asyncio.Event()

    async def source() -> AsyncIterator[Any]:
        for record in [*rows(3), 5]:
            yield record
        given.set()
        await asyncio.Event().wait()

    async with client_on(Network()) as client, client.bulk("1", source(), chunk_size=5) as run:
        await given.wait()
        run.stop()
        found = [(list(chunk.records()), chunk.outcome) async for chunk in run]

    assert found == [([*enumerate(rows(3), start=1)], Outcome.NOT_SENT)]
    assert run.report is not None
    assert (run.report.read, run.report.not_sent) == (4, 4)


# Cancelled


async def test_a_block_that_is_cancelled_before_the_run_began_closes_all_the_same() -> None:
    journal = MemoryJournal()
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gone.cancel()
    async with client_on(Network()) as client:
        with pytest.raises(asyncio.CancelledError):
            async with client.bulk("1", rows(10), journal=journal) as run:
                await gone

        assert run.report is not None
        assert (run.report.stopped, run.report.ok) == (StopReason.CANCELLED, False)
        assert (await client.send_bulk("1", rows(10), journal=journal)).accepted == 10


async def test_a_cancellation_is_not_replaced_by_what_a_callback_raises() -> None:
    gate = Gate()
    network = Network(lambda request, n: gate.passed(accepted(request)))

    def progress(stats: Any) -> None:
        raise ConnectionResetError("the browser has gone")

    async with client_on(network) as client:
        task = asyncio.create_task(client.send_bulk("1", rows(100), chunk_size=10, progress=progress))
        await gate.until_waiting(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert task.cancelled()


async def test_what_the_block_raises_is_not_replaced_and_the_run_s_own_is_logged_by_its_kind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def progress(stats: Any) -> None:
        raise ConnectionResetError("the browser has gone")

    async def block(client: Any) -> None:
        async with client.bulk("1", rows(10), progress=progress) as run:
            while run.report is None:  # noqa: ASYNC110  there is nothing to wait for but the report
                await asyncio.sleep(0)
            raise KeyError("mine")

    async with client_on(Network()) as client:
        with pytest.raises(KeyError, match="mine"):
            await block(client)

    assert ("ConnectionResetError" in caplog.text, "browser" in caplog.text) == (True, False)


# Looked at


async def test_a_run_that_is_only_looked_at_goes_on_to_its_end() -> None:
    network = Network(lambda request, n: failed() if n % 2 else accepted(request))
    async with client_on(network) as client, client.bulk("1", rows(1_000), chunk_size=10, concurrency=2) as run:
        async with asyncio.timeout(30):
            while run.report is None:  # noqa: ASYNC110  as somebody does who draws a bar now and then
                await asyncio.sleep(0)
        waiting = [chunk async for chunk in run]

    assert (counts(run.report), len(waiting)) == ({"accepted": 500, "unknown": 500}, 100)
    held = [chunk.index for chunk in waiting if chunk.body is not None]
    assert held == [chunk.index for chunk in waiting[:2] if chunk.outcome is not Outcome.ACCEPTED]


# What cannot be meant


class One(NamedTuple):
    Number: str
    Message: str


@pytest.mark.parametrize("source", [One("27821234567", "hi"), types.MappingProxyType({"Number": "27821234567"})])
async def test_a_single_record_is_no_iterable_of_records(source: Any) -> None:
    async with client_on(Network()) as client:
        with pytest.raises(TypeError, match="not a single"):
            await client.send_bulk("1", source)


async def test_a_single_text_is_no_list_of_opt_outs() -> None:
    async with client_on(Network()) as client:
        with pytest.raises(ConfigurationError, match=r"suppress .* load_suppression"):
            await client.send_bulk("1", rows(3), suppress="optouts.txt")


# What hooks and the log are told


@pytest.mark.parametrize("last", [replied(400), replied(401), replied(429), failed(Stage.CONNECTING), failed()])
@pytest.mark.parametrize("earlier_run", [False, True])
async def test_the_last_word_about_a_chunk_that_may_have_been_sent_is_unknown_as_in_the_report(
    caplog: pytest.LogCaptureFixture, last: Any, earlier_run: bool
) -> None:
    """Else an alert on unknown records says nothing, where the second attempt was refused and the first one was not."""
    events: list[AttemptEvent] = []
    journal = MemoryJournal()
    if earlier_run:
        await left_unknown(journal, 20)
    lost_first = Network(lambda request, n: accepted(request) if n == 1 else failed() if n == 2 else last)
    async with client_on(
        Network(lambda request, n: last) if earlier_run else lost_first,
        events=[events.append],
        clock=FakeClock(auto=True),
    ) as client:
        report = await client.send_bulk(
            *("1", rows(20)),
            chunk_size=10,
            concurrency=1,
            journal=journal,
            on_unknown=OnUnknown.RESEND,
            deadline=1_000,
        )

    assert counts(report) == {"accepted": 10, "unknown": 10}
    *_, said = [event for event in events if event.retry_in is None]
    assert (said.outcome, said.records) == (Outcome.UNKNOWN, 10)
    assert caplog.records[-1].levelname == "WARNING"
