"""A bulk run: what it sends, how often, in what order, and how far it reads ahead."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakes import Gate, Network, accepted, agen, client_on, counts, failed, numbers, replied, rows

from mobiz_async import (
    BulkReport,
    BulkRun,
    ConfigurationError,
    DataList,
    MobizClient,
    OnUnknown,
    OutcomeUnknownError,
    RetryPolicy,
    StopReason,
    Timeouts,
)
from mobiz_async.recipients.stages import LARGEST_SLICE
from mobiz_async.sandbox import Fault, Faults, Sandbox
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Failure, Stage
from mobiz_async.wire import Request

Make = Callable[..., MobizClient]


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


async def test_an_unknown_stays_unknown_when_the_run_is_cancelled_before_its_resend() -> None:
    clock = FakeClock()
    network = Network(lambda request, n: replied(500))
    runs: list[BulkRun] = []

    async def watch(client: MobizClient) -> None:
        async with client.bulk("1", rows(10), on_unknown=OnUnknown.RESEND) as run:
            runs.append(run)
            await run.finish()

    async with client_on(network, clock, retry=RetryPolicy(base=100, cap=100)) as client:
        task = asyncio.create_task(watch(client))
        await clock.settle()
        task.cancel()
        await asyncio.wait([task])

    assert task.cancelled()
    assert counts(runs[0].report) == {"unknown": 10}
    (failure,) = runs[0].report.failures
    assert (failure.error.status, failure.error.attempts, failure.attempts) == (500, 1, 1)
