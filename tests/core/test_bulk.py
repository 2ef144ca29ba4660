"""A bulk run: what it sends and how often, when it ends, and that its books balance whatever happens."""

from __future__ import annotations

import asyncio
import collections
import itertools
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from fakes import Gate, Network, accepted, client_on, failed, numbers, replied, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from mobiz_async import (
    AuthenticationError,
    BulkReport,
    ChunkOutcome,
    ConfigurationError,
    DataList,
    MemoryJournal,
    MobizClient,
    OnInvalid,
    OnRejected,
    OnUnknown,
    Outcome,
    OutcomeUnknownError,
    RetryPolicy,
    SourceError,
    Stats,
    StopReason,
    Timeouts,
)
from mobiz_async.chunking import LARGEST_SLICE
from mobiz_async.recipients.stages import Problem
from mobiz_async.sandbox import EveryNth, Fault, Faults, Injection, Sandbox
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Failure, Stage
from mobiz_async.wire import Request

Make = Callable[..., MobizClient]


def counts(report: BulkReport) -> dict[str, int]:
    """The headings that are not empty."""
    names = ("accepted", "rejected", "not_sent", "unknown", "skipped")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


async def agen(items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


# The ordinary run


async def test_every_record_arrives_once_in_chunks(client: MobizClient, sandbox: Sandbox) -> None:
    report = await client.send_bulk("1", rows(2_500), chunk_size=1_000)

    assert (counts(report), report.chunks, report.requests, report.retries) == ({"accepted": 2_500}, 3, 3, 0)
    assert (report.ok, report.stopped, report.failures) == (True, None, ())
    assert dict.fromkeys(numbers(2_500), 1) == dict(sandbox.applied("1"))
    assert [seen.records for seen in sandbox.requests] == [1_000, 1_000, 500]


@pytest.mark.parametrize("source", [list, iter, agen])
async def test_any_iterable_will_do(source: Any) -> None:
    network = Network()
    async with client_on(network) as client:
        report = await client.send_bulk("1", source(rows(25)), chunk_size=10)

    assert counts(report) == {"accepted": 25}
    assert rows(25) == [record for body in network.bodies for record in body]


@pytest.mark.parametrize("source", [list, iter, agen])
async def test_an_empty_source_is_a_success_without_a_request(source: Any) -> None:
    network = Network()
    async with client_on(network) as client:
        report = await client.send_bulk("1", source([]))

    assert (BulkReport(elapsed=report.elapsed), True, 0) == (report, report.ok, network.count)


async def test_bare_numbers_become_records_with_the_common_fields() -> None:
    network = Network()
    async with client_on(network) as client:
        await client.send_bulk("1", numbers(2), common={"Message": "hi"})

    assert [[{"Message": "hi", "Number": number} for number in numbers(2)]] == network.bodies


@pytest.mark.parametrize(
    ("contacts", "options", "field"),
    [
        ("1", {}, "Number"),
        ("1", {"number_field": "Phone"}, "Phone"),
        (DataList("1", None, {"Name": "text", "Cell": "msisdn"}), {}, "Cell"),
        (DataList("1", None, {"Phone": "text"}), {"number_field": "Phone"}, "Phone"),
    ],
)
async def test_the_number_field_is_the_options_or_the_lists_or_number(contacts, options: dict, field: str) -> None:
    network = Network()
    async with client_on(network) as client:
        await client.send_bulk(contacts, ["27821234567"], **options)

    assert [[{field: "27821234567"}]] == network.bodies


async def test_fields_are_renamed_doubles_and_the_suppressed_are_left_out() -> None:
    network = Network()
    people = [{"cell": number} for number in [*numbers(3), *numbers(2)]]
    async with client_on(network) as client:
        report = await client.send_bulk(
            "1", people, rename={"cell": "Number"}, dedupe="Number", suppress=[numbers(3)[2]]
        )

    assert counts(report) == {"accepted": 2, "skipped": 3}
    assert report.skipped_by_reason == {"duplicate": 2, "on the suppression list": 1}
    assert report.ok


async def test_an_option_that_cannot_be_is_refused_before_anything_is_read() -> None:
    async with client_on(Network()) as client:
        with pytest.raises(ConfigurationError, match="chunk_size"):
            await client.send_bulk("1", [], chunk_size=10_001)
        with pytest.raises(ConfigurationError, match="common"):
            await client.send_bulk("1", [], common={"x": object()})
        with pytest.raises(TypeError, match="iterable"):
            await client.send_bulk("1", 5)
        with pytest.raises(TypeError, match="chunksize"):
            await client.send_bulk("1", [], chunksize=5)


async def test_the_first_chunk_goes_alone_and_then_as_many_as_asked_for() -> None:
    gates = {1: Gate(), 2: Gate()}
    network = Network(lambda request, n: gates[min(n, 2)].passed(accepted(request)))
    async with client_on(network) as client:
        task = asyncio.create_task(client.send_bulk("1", rows(100), chunk_size=10, concurrency=3))
        await gates[1].until_waiting(1)
        alone = network.in_flight
        gates[1].open.set()
        await gates[2].until_waiting(3)
        gates[2].open.set()
        report = await task

    assert (alone, network.most_in_flight, report.accepted) == (1, 3, 100)


async def test_a_run_may_ask_for_more_at_once_than_the_client() -> None:
    gate = Gate()
    network = Network(lambda request, n: accepted(request) if n == 1 else gate.passed(accepted(request)))
    async with client_on(network, concurrency=2) as client:
        task = asyncio.create_task(client.send_bulk("1", rows(100), chunk_size=10, concurrency=5))
        await gate.until_waiting(5)
        gate.open.set()
        await task

    assert network.most_in_flight == 5


async def test_no_more_is_read_ahead_than_one_chunk_beyond_those_in_flight() -> None:
    pulled = 0
    settled = 0
    most = 0

    def source() -> Iterator[Any]:
        nonlocal pulled, most
        for record in rows(20_000):
            pulled += 1
            most = max(most, pulled - settled)
            yield record

    def answer(request: Request, n: int) -> Any:
        nonlocal settled
        settled += request.records
        return accepted(request)

    async with client_on(Network(answer, keep=False)) as client:
        report = await client.send_bulk("1", source(), chunk_size=1_000, concurrency=2)

    assert report.accepted == 20_000
    assert most <= (2 + 1) * 1_000 + LARGEST_SLICE


async def test_reading_stops_while_all_workers_are_busy() -> None:
    pulled = 0

    def source() -> Iterator[Any]:
        nonlocal pulled
        for record in rows(20_000):
            pulled += 1
            yield record

    gate = Gate()
    network = Network(lambda request, n: accepted(request) if n == 1 else gate.passed(accepted(request)))
    clock = FakeClock(auto=True)
    async with client_on(network, clock) as client:
        task = asyncio.create_task(client.send_bulk("1", source(), chunk_size=1_000, concurrency=2))
        await gate.until_waiting(2)
        await clock.settle()
        ahead = pulled
        gate.open.set()
        await task

    assert ahead <= (1 + 2 + 1) * 1_000 + LARGEST_SLICE


async def test_other_tasks_get_their_turns_while_a_run_goes_on() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with client_on(Network(keep=False)) as client:
        task = asyncio.create_task(other())
        await client.send_bulk("1", itertools.repeat("27821234567", 100_000))
        task.cancel()

    assert turns > 10 * 2  # ten chunks, each of several milliseconds


# Unknown outcomes


@pytest.mark.parametrize(
    "fault",
    [
        Fault.CLOSE_AFTER_APPLY,
        Fault.RESET_AFTER_APPLY,
        Fault.HANG_AFTER_APPLY,
        Fault.ERROR_500_AFTER_APPLY,
        Fault.ERROR_502_AFTER_APPLY,
        Fault.TRUNCATED_AFTER_APPLY,
        Fault.GARBAGE_AFTER_APPLY,
        Fault.HTML_200_AFTER_APPLY,
        Fault.UNAVAILABLE_AFTER_APPLY,
    ],
)
async def test_chunks_whose_outcome_is_unknown_are_sent_once(client_of: Make, sandbox: Sandbox, fault: Fault) -> None:
    """A server that applies every chunk and then cuts the connection: nothing is sent twice, nothing has "failed"."""
    sandbox.faults = Faults.always(fault)
    client = client_of(sandbox, timeouts=Timeouts(read=0.1))

    report = await client.send_bulk("1", rows(50), chunk_size=10, concurrency=5)

    assert (counts(report), report.stopped, report.ok, report.requests) == ({"unknown": 50}, None, False, 5)
    assert dict.fromkeys(numbers(50), 1) == dict(sandbox.applied("1"))
    assert [sandbox.times_applied(seen.digest) for seen in sandbox.requests] == [1] * 5
    assert {OutcomeUnknownError} == {type(chunk.error) for chunk in report.failures}
    with pytest.raises(OutcomeUnknownError):
        report.raise_for_failures()


async def test_on_unknown_stop_starts_nothing_new() -> None:
    network = Network(lambda request, n: accepted(request) if n < 3 else failed())
    async with client_on(network) as client:
        report = await client.send_bulk("1", rows(100), chunk_size=10, concurrency=1, on_unknown="stop")

    assert (report.accepted, report.unknown, report.stopped, network.count) == (20, 10, StopReason.UNKNOWN, 3)
    assert isinstance(report.error, OutcomeUnknownError)


async def test_on_unknown_resend_sends_again_what_may_have_been_applied(client: MobizClient, sandbox: Sandbox) -> None:
    sandbox.faults = Faults.script([None, Fault.RESET_AFTER_APPLY])

    report = await client.send_bulk("1", rows(30), chunk_size=10, concurrency=1, on_unknown=OnUnknown.RESEND)

    assert (counts(report), report.requests, report.retries) == ({"accepted": 30}, 4, 1)
    assert list(sandbox.applied("1").values()) == [1] * 10 + [2] * 10 + [1] * 10


async def test_what_stays_unknown_however_often_it_is_sent_is_unknown() -> None:
    network = Network(lambda request, n: failed())
    async with client_on(network, retry=RetryPolicy(max_attempts=3)) as client:
        report = await client.send_bulk("1", rows(10), on_unknown=OnUnknown.RESEND)

    assert (counts(report), network.count) == ({"unknown": 10}, 3)


@pytest.mark.parametrize(
    "then",
    [
        failed(Stage.CONNECTING, Failure.CONNECT),
        replied(429, None, retry_after="7200"),
        replied(400, {"status": 0}),
        replied(413),
    ],
    ids=["no connection", "throttled", "rejected", "too large"],
)
async def test_an_unknown_stays_unknown_when_a_resend_proves_nothing_about_it(then: Any) -> None:
    """That the second attempt was not applied says nothing about the first."""
    network = Network(lambda request, n: failed() if n == 1 else then)
    async with client_on(network) as client:
        report = await client.send_bulk("1", rows(10), on_unknown=OnUnknown.RESEND)

    assert counts(report) == {"unknown": 10}


async def test_an_unknown_stays_unknown_when_the_run_is_stopped_before_its_resend() -> None:
    clock = FakeClock()
    network = Network(lambda request, n: failed())
    async with client_on(network, clock, retry=RetryPolicy(base=100, cap=100)) as client:
        async with client.bulk("1", rows(10), on_unknown=OnUnknown.RESEND) as run:
            await clock.settle()
            run.stop()
            report = await run.finish()

    assert (counts(report), network.count) == ({"unknown": 10}, 1)


async def test_an_unknown_stays_unknown_when_the_run_is_cancelled_before_its_resend() -> None:
    clock = FakeClock()
    network = Network(lambda request, n: failed())
    async with client_on(network, clock, retry=RetryPolicy(base=100, cap=100)) as client:
        run = None
        with pytest.raises(asyncio.CancelledError):
            async with client.bulk("1", rows(10), on_unknown=OnUnknown.RESEND) as run:
                await clock.settle()
                raise asyncio.CancelledError

    assert counts(run.report) == {"unknown": 10}


# Rejections


async def test_a_rejected_chunk_is_reported_and_the_rest_goes(client: MobizClient, sandbox: Sandbox) -> None:
    sandbox.faults = Faults.script([None, Fault.ERROR_400_LOGIC_APPS, Fault.REJECTED_200])

    report = await client.send_bulk("1", rows(50), chunk_size=10, concurrency=1)

    assert (counts(report), report.stopped) == ({"accepted": 30, "rejected": 20}, None)
    assert [
        (chunk.index, chunk.first_record, chunk.count, chunk.status) for chunk in report.failures
    ] == [(1, 11, 10, 400), (2, 21, 10, 200)]


async def test_on_rejected_stop_starts_nothing_new() -> None:
    network = Network(lambda request, n: accepted(request) if n < 3 else replied(400))
    async with client_on(network) as client:
        report = await client.send_bulk("1", rows(100), chunk_size=10, concurrency=1, on_rejected=OnRejected.STOP)

    assert (report.accepted, report.rejected, report.stopped, network.count) == (20, 10, StopReason.REJECTED, 3)


@pytest.mark.parametrize(
    ("answer", "stopped", "outcome"),
    [
        (replied(401), StopReason.CREDENTIALS, "rejected"),
        (replied(403), StopReason.CREDENTIALS, "rejected"),
        (replied(404), StopReason.MISDIRECTED, "rejected"),
        (replied(307), StopReason.MISDIRECTED, "rejected"),
        (replied(302), StopReason.MISDIRECTED, "unknown"),
        (replied(403, None, retry_after="86400"), StopReason.QUOTA, "not_sent"),
        (replied(429, None, retry_after="7200"), StopReason.QUOTA, "not_sent"),
    ],
)
async def test_what_every_chunk_would_meet_costs_one_request(answer: Any, stopped: StopReason, outcome: str) -> None:
    pulled = 0

    def source() -> Iterator[Any]:
        nonlocal pulled
        for record in rows(100_000):
            pulled += 1
            yield record

    network = Network(lambda request, n: answer)
    async with client_on(network) as client:
        report = await client.send_bulk("1", source(), chunk_size=1_000)

    assert (stopped, 1, 1_000) == (
        report.stopped,
        network.count,
        getattr(report, outcome) - (report.read - 1_000) * (outcome == "not_sent"),
    )
    assert pulled == report.read <= 2_000 + LARGEST_SLICE
    with pytest.raises(type(report.error)):
        report.raise_for_failures()


async def test_refused_credentials_are_in_the_report_and_not_raised(client_of: Make) -> None:
    async with Sandbox(subscription_key="another-key") as sandbox:
        report = await client_of(sandbox).send_bulk("1", rows(100), chunk_size=10)

        assert (report.stopped, len(sandbox.requests)) == (StopReason.CREDENTIALS, 1)
        assert isinstance(report.error, AuthenticationError)


async def test_a_redirect_carries_no_recipients_elsewhere(client: MobizClient, sandbox: Sandbox) -> None:
    sandbox.faults = Faults.always(Fault.REDIRECT_307)

    report = await client.send_bulk("1", rows(100), chunk_size=10)

    assert (len(sandbox.requests), report.stopped) == (1, StopReason.MISDIRECTED)
    assert (sandbox.elsewhere.posts, sandbox.elsewhere.others, sandbox.elsewhere.bytes) == (0, 0, 0)
    assert "307" in str(report.error)


# Throttling and outages


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_every_second_request_throttled_costs_no_record_and_no_early_post(concurrency: int) -> None:
    told: list[float] = []

    def answer(request: Request, n: int) -> Any:
        if n % 2 == 0:
            told.append(clock.monotonic() + 1)
            return replied(429, {"message": "Rate limit is exceeded. Try again in 1 seconds."}, retry_after="1")
        return accepted(request)

    clock = FakeClock(auto=True)
    network = Network(answer)
    async with client_on(network, clock) as client:
        report = await client.send_bulk("1", rows(200), chunk_size=10, concurrency=concurrency)

    assert counts(report) == {"accepted": 200}
    applied = [body for n, body in enumerate(network.bodies, 1) if n % 2]
    assert sorted(number for body in applied for number in (one["Number"] for one in body)) == numbers(200)
    if concurrency == 1:
        assert [at for at in network.times for until in told if until - 1 < at < until] == []


async def test_every_second_request_throttled_by_the_sandbox_is_obeyed(client_of: Make) -> None:
    clock = FakeClock(auto=True, grace=0.002)
    async with Sandbox(rate_limit=EveryNth(2, 1), clock=clock) as sandbox:
        report = await client_of(sandbox, clock=clock).send_bulk("1", rows(80), chunk_size=10, concurrency=4)

        assert (counts(report), sandbox.early) == ({"accepted": 80}, ())
        assert dict.fromkeys(numbers(80), 1) == dict(sandbox.applied("1"))
        assert report.requests == len(sandbox.requests) == 8 + report.retries


async def test_a_server_that_never_answered_is_given_up() -> None:
    network = Network(lambda request, n: failed(Stage.CONNECTING, Failure.CONNECT))
    async with client_on(network) as client:
        report = await client.send_bulk("1", rows(100), chunk_size=10)

    assert ({"not_sent": report.read}, StopReason.UNREACHABLE, 8) == (counts(report), report.stopped, network.count)


async def test_an_outage_of_a_server_that_had_answered_is_waited_out() -> None:
    clock = FakeClock(auto=True)

    def answer(request: Request, n: int) -> Any:
        out = 10 <= clock.monotonic() < 3_600
        return failed(Stage.CONNECTING, Failure.CONNECT) if out else accepted(request)

    async with client_on(Network(answer), clock) as client:
        report = await client.send_bulk("1", rows(300), chunk_size=10, records_per_second=10)

    assert (counts(report), clock.monotonic() > 3_600) == ({"accepted": 300}, True)


async def test_a_deadline_ends_an_outage() -> None:
    clock = FakeClock(auto=True)
    network = Network(lambda request, n: accepted(request) if n == 1 else failed(Stage.CONNECTING, Failure.CONNECT))
    async with client_on(network, clock) as client:
        report = await client.send_bulk("1", rows(100), chunk_size=10, deadline=600)

    assert (report.accepted, report.stopped, report.unknown) == (10, StopReason.DEADLINE, 0)
    assert report.elapsed == pytest.approx(600, abs=1)


async def test_a_deadline_lets_what_is_in_flight_end() -> None:
    gate = Gate()
    clock = FakeClock()
    network = Network(lambda request, n: accepted(request) if n == 1 else gate.passed(accepted(request)))
    async with client_on(network, clock) as client:
        task = asyncio.create_task(client.send_bulk("1", rows(100), chunk_size=10, concurrency=2, deadline=60))
        await gate.until_waiting(2)
        await clock.advance(60)
        gate.open.set()
        report = await task

    assert (report.accepted, report.stopped, network.count) == (30, StopReason.DEADLINE, 3)


async def test_records_go_no_faster_than_asked_for() -> None:
    clock = FakeClock(auto=True)
    network = Network()
    async with client_on(network, clock) as client:
        await client.send_bulk("1", rows(100), chunk_size=10, records_per_second=5)

    gaps = [later - earlier for earlier, later in itertools.pairwise(network.times)]
    assert min(gaps) >= 1.9
    assert network.times[-1] == pytest.approx(18, abs=1)


# Stopping


async def test_stop_finishes_what_is_in_flight_and_starts_nothing_new() -> None:
    gate = Gate()
    network = Network(lambda request, n: accepted(request) if n == 1 else gate.passed(accepted(request)))
    clock = FakeClock()
    async with client_on(network, clock) as client, client.bulk("1", rows(1_000), chunk_size=10, concurrency=2) as run:
        await gate.until_waiting(2)
        run.stop()
        run.stop()
        gate.open.set()
        report = await run.finish()

    assert (report.accepted, network.count, report.stopped, report.ok) == (30, 3, StopReason.ASKED, False)
    assert report.read == report.accepted + report.not_sent


async def test_stop_ends_a_wait_for_a_pause_at_once() -> None:
    clock = FakeClock()
    network = Network(lambda request, n: replied(429, None, retry_after="3000"))
    async with client_on(network, clock) as client, client.bulk("1", rows(10)) as run:
        await clock.settle()
        run.stop()
        report = await run.finish()

    assert (counts(report), network.count, clock.monotonic()) == ({"not_sent": 10}, 1, 0.0)


async def test_stop_ends_a_wait_for_the_source_at_once() -> None:
    reached = asyncio.Event()

    async def source() -> AsyncIterator[Any]:
        for record in rows(10):
            yield record
        reached.set()
        await asyncio.Event().wait()

    network = Network()
    async with client_on(network) as client, client.bulk("1", source(), chunk_size=5) as run:
        await reached.wait()
        run.stop()
        report = await run.finish()

    assert (report.read, report.stopped) == (10, StopReason.ASKED)


async def test_the_failure_rate_stops_a_run() -> None:
    network = Network(lambda request, n: replied(400) if n in (3, 5, 6) else accepted(request))
    async with client_on(network) as client:
        report = await client.send_bulk("1", rows(1_000), chunk_size=10, concurrency=1, max_failure_rate=0.45)

    assert (report.stopped, network.count, report.rejected) == (StopReason.FAILURE_RATE, 6, 30)
    assert report.error is not None


async def test_a_failure_rate_that_is_not_exceeded_stops_nothing() -> None:
    network = Network(lambda request, n: replied(400) if n % 2 == 0 else accepted(request))
    async with client_on(network) as client:
        report = await client.send_bulk("1", rows(100), chunk_size=10, concurrency=1, max_failure_rate=0.5)

    assert (counts(report), report.stopped) == ({"accepted": 50, "rejected": 50}, None)


# Sources that fail


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_source_that_raises_ends_the_run_with_what_is_in_flight_reported(kind: str) -> None:
    error = ValueError("27821234567")

    def source() -> Iterator[Any]:
        yield from rows(45)
        raise error

    async def asource() -> AsyncIterator[Any]:
        for record in source():
            yield record

    gate = Gate()
    network = Network(lambda request, n: accepted(request) if n < 2 else gate.passed(accepted(request)))
    async with client_on(network) as client:
        records = source() if kind == "sync" else asource()
        task = asyncio.create_task(client.send_bulk("1", records, chunk_size=10, concurrency=2))
        await gate.until_waiting(2)
        gate.open.set()
        with pytest.raises(SourceError) as raised:
            await task

    assert (raised.value.row, raised.value.kind) == (46, "ValueError")
    report = raised.value.report
    assert (report.stopped, report.read, report.accepted + report.not_sent) == (StopReason.SOURCE, 45, 45)
    assert report.accepted == 10 * network.count >= 30
    assert "27821234567" not in str(raised.value)
    assert raised.value.__cause__ is error


async def test_a_source_that_raises_at_record_1234567_names_it() -> None:
    def source() -> Iterator[str]:
        yield from itertools.repeat("27821234567", 1_234_566)
        raise ValueError

    network = Network(keep=False)
    async with client_on(network) as client:
        with pytest.raises(SourceError, match="at record 1,234,567") as raised:
            await client.send_bulk("1", source())

    report = raised.value.report
    assert {"accepted": 10_000 * network.count, "not_sent": 1_234_566 - 10_000 * network.count} == counts(report)
    assert network.count >= 123 - 8


async def test_a_source_that_raises_at_once_sends_nothing() -> None:
    def source() -> Iterator[str]:
        raise ValueError
        yield ""

    network = Network()
    async with client_on(network) as client:
        with pytest.raises(SourceError, match="at record 1$"):
            await client.send_bulk("1", source())

    assert network.count == 0


async def test_a_generator_is_closed_when_the_run_ends_early() -> None:
    closed = []

    def source() -> Iterator[Any]:
        try:
            yield from rows(100_000)
        finally:
            closed.append(True)

    async with client_on(Network(lambda request, n: replied(401))) as client:
        await client.send_bulk("1", source(), chunk_size=10)

    assert closed == [True]


# Callbacks


async def test_progress_is_told_after_each_chunk_and_at_the_end() -> None:
    told: list[tuple[int, int]] = []

    def progress(stats: Stats) -> None:
        told.append((stats.accepted, stats.read))

    async with client_on(Network()) as client:
        await client.send_bulk("1", rows(30), chunk_size=10, concurrency=1, progress=progress)

    assert ([accepted for accepted, _ in told], told[-1]) == ([10, 20, 30, 30], (30, 30))


class MistakeError(Exception):
    """A mistake of the caller's."""


@pytest.mark.parametrize("option", ["progress", "on_skipped"])
async def test_a_callback_that_raises_ends_the_run_with_its_own_exception(option: str) -> None:
    def callback(_: Any) -> None:
        raise MistakeError

    network = Network()
    records = [*rows(10), None, *rows(1_000)]
    async with client_on(network) as client:
        run = None
        with pytest.raises(MistakeError):
            async with client.bulk("1", records, chunk_size=10, on_invalid="skip", **{option: callback}) as run:
                await asyncio.wait_for(run.finish(), 10)

    assert (run.report.stopped, network.count <= 2) == (StopReason.ERROR, True)
    assert run.report.read == run.report.accepted + run.report.not_sent + run.report.skipped


async def test_a_callback_that_raises_leaves_nobody_waiting_who_iterates() -> None:
    def progress(_: Stats) -> None:
        raise MistakeError

    async def iterate(run: Any) -> None:
        async for _ in run:
            pass

    async with client_on(Network()) as client:
        with pytest.raises(MistakeError):
            async with client.bulk("1", rows(30), chunk_size=10, progress=progress) as run:
                with pytest.raises(MistakeError):
                    await asyncio.wait_for(iterate(run), 10)


async def test_skipped_records_are_handed_out_and_counted() -> None:
    skipped: list[Problem] = []
    records = [rows(1)[0], None, {"Message": "hi"}]
    async with client_on(Network()) as client:
        report = await client.send_bulk("1", records, on_invalid=OnInvalid.SKIP, on_skipped=skipped.append)

    assert counts(report) == {"accepted": 1, "skipped": 2}
    assert [(problem.row, problem.record) for problem in skipped] == [(2, None), (3, {"Message": "hi"})]


# Watching a run


async def test_outcomes_come_as_they_are_known_with_their_records() -> None:
    network = Network(lambda request, n: accepted(request) if n != 2 else replied(400))
    seen: list[ChunkOutcome] = []
    async with client_on(network) as client, client.bulk("1", rows(30), chunk_size=10, concurrency=1) as run:
        async for chunk in run:
            seen.append(chunk)
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
        await clock.settle()
        unwatched = network.count
        outcomes = aiter(run)
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


# Cancelling


async def test_cancelled_what_may_have_gone_out_is_unknown_and_the_rest_not_sent() -> None:
    gate = Gate()
    network = Network(lambda request, n: accepted(request) if n == 1 else gate.passed(accepted(request)))
    run = None

    async def watch(client: MobizClient) -> None:
        nonlocal run
        async with client.bulk("1", rows(1_000), chunk_size=10, concurrency=2) as run:
            await run.finish()

    async with client_on(network) as client:
        task = asyncio.create_task(watch(client))
        await gate.until_waiting(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    report = run.report
    assert (report.accepted, report.unknown, report.stopped, network.in_flight) == (10, 20, StopReason.CANCELLED, 0)
    assert report.read == 30 + report.not_sent


async def test_cancelled_while_it_is_iterated_it_says_so() -> None:
    gate = Gate()
    network = Network(lambda request, n: accepted(request) if n == 1 else gate.passed(accepted(request)))
    run = None

    async def watch(client: MobizClient) -> None:
        nonlocal run
        async with client.bulk("1", rows(1_000), chunk_size=10, concurrency=2) as run:
            async for _ in run:
                pass

    async with client_on(network) as client:
        task = asyncio.create_task(watch(client))
        await gate.until_waiting(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert (run.report.accepted, run.report.unknown, run.report.stopped) == (10, 20, StopReason.CANCELLED)


async def test_cancelled_before_a_byte_went_out_nothing_was_sent() -> None:
    clock = FakeClock()
    network = Network(lambda request, n: replied(429, None, retry_after="60"))
    async with client_on(network, clock) as client:
        task = asyncio.create_task(client.send_bulk("1", rows(10)))
        await clock.settle()
        task.cancel()
        await asyncio.wait([task])

    assert (task.cancelled(), network.count) == (True, 1)


# The books, whatever happens


class World:
    """A server that is told for each request whether it applies it and what it answers, and keeps the truth."""

    def __init__(self, script: list[tuple[str, bool]]) -> None:
        self.script = itertools.cycle(script)
        self.applied: collections.Counter[str] = collections.Counter()
        self.posted: collections.Counter[str] = collections.Counter()
        self.network = Network(self.answer, keep=True)

    def answer(self, request: Request, n: int) -> Any:
        kind, applies = next(self.script)
        records = [record["Number"] for record in self.network.bodies[-1]]
        self.posted.update(records)
        match kind:
            case "accept":
                self.applied.update(records)
                return accepted(request)
            case "lose" | "500":
                self.applied.update(records if applies else ())
                return failed() if kind == "lose" else replied(500)
            case "throttle":
                return replied(429, None, retry_after="1")
            case "refuse":
                return failed(Stage.CONNECTING, Failure.CONNECT)
            case "reject":
                return replied(400, {"status": 0})
        raise AssertionError(kind)


happenings = st.tuples(
    st.sampled_from(["accept", "accept", "lose", "500", "throttle", "refuse", "reject"]), st.booleans()
)


async def run_in(world: World, records: list[Any], stop_after: int | None, **options: Any) -> tuple[BulkReport, dict]:
    outcomes: dict[str, Outcome] = {}
    clock = FakeClock(auto=True)
    async with client_on(world.network, clock, retry=RetryPolicy(max_attempts=3)) as client:
        async with client.bulk("1", records, **options) as run:
            async for chunk in run:
                for row in (first + n for first, length in chunk.runs for n in range(length)):
                    assert row not in outcomes
                    outcomes[row] = chunk.outcome
                if stop_after is not None and len(outcomes) >= stop_after:
                    run.stop()
            report = await run.finish()
    return report, outcomes


@settings(max_examples=150, deadline=None)
@given(
    st.lists(happenings, min_size=1, max_size=12),
    st.integers(0, 40),
    st.integers(1, 7),
    st.integers(1, 4),
    st.sampled_from(OnUnknown),
    st.sampled_from([OnRejected.KEEP, OnRejected.STOP]),
    st.none() | st.integers(0, 20),
    st.none() | st.floats(0.1, 1.0),
    st.sets(st.integers(0, 39), max_size=4),
)
def test_the_books_balance_and_tell_the_truth(
    script, count: int, size: int, concurrency: int, on_unknown, on_rejected, stop_after, rate, bad: set[int]
) -> None:
    """Whatever a server does: every record has one outcome, and no outcome claims what is not so."""
    world = World(script)
    records: list[Any] = rows(count)
    for position in bad:
        if position < count:
            records[position] = None

    report, outcomes = asyncio.run(
        run_in(
            world,
            records,
            stop_after,
            chunk_size=size,
            concurrency=concurrency,
            on_unknown=on_unknown,
            on_rejected=on_rejected,
            on_invalid="skip",
            max_failure_rate=rate,
        )
    )

    assert report.read == report.accepted + report.rejected + report.not_sent + report.unknown + report.skipped
    tally = collections.Counter(outcomes.values())
    assert (tally[Outcome.ACCEPTED], tally[Outcome.REJECTED], tally[Outcome.UNKNOWN]) == (
        report.accepted,
        report.rejected,
        report.unknown,
    )
    assert report.requests == world.network.count
    for row, record in enumerate(records, 1):
        if record is None:
            assert row not in outcomes
            continue
        times = world.applied[record["Number"]]
        match outcomes.get(row, Outcome.NOT_SENT):
            case Outcome.ACCEPTED:
                assert times >= 1
            case Outcome.REJECTED | Outcome.NOT_SENT:
                assert times == 0
        if on_unknown is not OnUnknown.RESEND:
            assert times <= 1
    if report.stopped is None:
        assert report.read == count


@settings(max_examples=60, deadline=None)
@given(st.lists(happenings, min_size=1, max_size=8), st.integers(1, 4), st.integers(1, 30), st.sampled_from(OnUnknown))
def test_a_cancelled_runs_books_tell_the_truth_too(script, concurrency: int, after: int, on_unknown) -> None:
    world = World(script)
    cancelling: list[asyncio.Task[Any]] = []
    answer = world.network.answer

    def cancel_at(request: Request, n: int) -> Any:
        if n == after:
            cancelling[0].cancel()
        return answer(request, n)

    world.network.answer = cancel_at
    runs: list[Any] = []

    async def run() -> None:
        async with client_on(world.network, FakeClock(auto=True), retry=RetryPolicy(max_attempts=3)) as client:
            async with client.bulk("1", rows(60), chunk_size=4, concurrency=concurrency, on_unknown=on_unknown) as made:
                runs.append(made)
                await made.finish()

    async def main() -> None:
        cancelling.append(asyncio.create_task(run()))
        await asyncio.wait(cancelling)

    asyncio.run(main())

    report = runs[0].report
    assert report.read == report.accepted + report.rejected + report.not_sent + report.unknown
    unclear = sum(1 for number in numbers(60) if world.applied[number])
    assert report.accepted <= unclear <= report.accepted + report.unknown
    assert world.network.in_flight == 0


# With a journal, as far as the run itself is concerned


async def test_the_same_call_with_the_same_journal_sends_only_what_is_left() -> None:
    journal = MemoryJournal()
    network = Network(lambda request, n: accepted(request) if n < 3 else replied(401))
    async with client_on(network) as client:
        first = await client.send_bulk("1", rows(50), chunk_size=10, concurrency=1, journal=journal)
        network.answer = accepted
        second = await client.send_bulk("1", rows(50), chunk_size=10, concurrency=1, journal=journal)

    assert (first.accepted, first.rejected, first.stopped) == (20, 10, StopReason.CREDENTIALS)
    assert (counts(second), second.resumed, network.count) == ({"accepted": 40, "rejected": 10}, 30, 5)


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
