"""Bulk runs that are refused, throttled, or find nobody there."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakes import Gate, Network, accepted, client_on, counts, failed, numbers, replied, rows

from mobiz_async import (
    AuthenticationError,
    MobizClient,
    OnRejected,
    OnUnknown,
    RetryPolicy,
    StopReason,
)
from mobiz_async.recipients.stages import LARGEST_SLICE
from mobiz_async.sandbox import EveryNth, Fault, Faults, Sandbox
from mobiz_async.testing import FakeClock, FakeTransport, no_connection, throttled
from mobiz_async.testing import accepted as accepted_as_documented
from mobiz_async.verdicts import Failure, Stage
from mobiz_async.wire import Request

Make = Callable[..., MobizClient]


# Rejections


async def test_a_rejected_chunk_is_reported_and_the_rest_goes(client: MobizClient, sandbox: Sandbox) -> None:
    sandbox.faults = Faults.script([None, Fault.ERROR_400_LOGIC_APPS, Fault.REJECTED_200])

    report = await client.send_bulk("1", rows(50), chunk_size=10, concurrency=1)

    assert (counts(report), report.stopped) == ({"accepted": 30, "rejected": 20}, None)
    assert [(chunk.index, chunk.first_record, chunk.count, chunk.status) for chunk in report.failures] == [
        (1, 11, 10, 400),
        (2, 21, 10, 200),
    ]


async def test_on_rejected_stop_starts_nothing_new() -> None:
    network = Network(lambda request, n: accepted(request) if n < 3 else replied(400))
    async with client_on(network) as client:
        report = await client.send_bulk("1", rows(100), chunk_size=10, concurrency=1, on_rejected=OnRejected.STOP)

    assert (report.accepted, report.rejected, report.stopped, network.count) == (20, 10, StopReason.REJECTED, 3)


@pytest.mark.parametrize(("status", "halved"), [(400, True), (413, True), (422, True), (200, False), (404, False)])
async def test_only_what_blames_the_body_is_halved(status: int, halved: bool) -> None:
    network = Network(lambda request, n: replied(status, {"status": 0}))
    async with client_on(network) as client:
        report = await client.send_bulk("1", rows(4), on_rejected=OnRejected.SPLIT)

    assert (report.rejected, network.count > 1) == (4, halved)


async def test_each_policy_is_for_its_own_outcome() -> None:
    """A refused chunk is nothing unknown; and a key that is refused is more than a refused chunk."""
    refused = Network(lambda request, n: replied(400))
    async with client_on(refused) as client:
        unknown_stops = await client.send_bulk("1", rows(30), chunk_size=10, on_unknown=OnUnknown.STOP)
    without_key = Network(lambda request, n: replied(401))
    async with client_on(without_key) as client:
        rejected_stops = await client.send_bulk("1", rows(30), chunk_size=10, on_rejected=OnRejected.STOP)

    in_doubt = Network(lambda request, n: replied(500))
    async with client_on(in_doubt) as client:
        rejected_goes_on = await client.send_bulk("1", rows(30), chunk_size=10, on_rejected=OnRejected.STOP)

    assert (unknown_stops.stopped, unknown_stops.rejected) == (None, 30)
    assert rejected_stops.stopped is StopReason.CREDENTIALS
    assert (rejected_goes_on.stopped, rejected_goes_on.unknown) == (None, 30)


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
        soon = 1e-9  # what sums of floats may be off by
        assert [at for at in network.times for until in told if until - 1 + soon < at < until - soon] == []


async def test_every_second_request_throttled_by_the_sandbox_is_obeyed(client_of: Make) -> None:
    clock = FakeClock(auto=True, grace=0.002)
    async with Sandbox(rate_limit=EveryNth(2, 1), clock=clock) as sandbox:
        report = await client_of(sandbox, clock=clock).send_bulk("1", rows(80), chunk_size=10, concurrency=4)

        assert (counts(report), sandbox.early) == ({"accepted": 80}, ())
        assert dict.fromkeys(numbers(80), 1) == dict(sandbox.applied("1"))
        assert report.requests == len(sandbox.requests) == 8 + report.retries


async def test_a_chunk_that_is_throttled_at_each_attempt_is_not_sent_and_the_next_one_goes() -> None:
    fake = FakeTransport([throttled()] * 8)
    async with MobizClient(transport=fake, clock=FakeClock(auto=True)) as client:
        report = await client.send_bulk("1", rows(20), chunk_size=10, concurrency=1)

    assert (counts(report), report.stopped) == ({"accepted": 10, "not_sent": 10}, None)


async def test_the_deadline_of_the_policy_is_each_chunks_own() -> None:
    clock, fake = FakeClock(auto=True), FakeTransport([accepted_as_documented, *[no_connection()] * 1_000])
    async with MobizClient(transport=fake, clock=clock, retry=RetryPolicy(deadline=100)) as client:
        report = await client.send_bulk("1", rows(40), chunk_size=10, concurrency=1)

    assert (counts(report), report.stopped) == ({"accepted": 10, "not_sent": 30}, None)
    assert 290 <= clock.monotonic() <= 310


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


async def test_what_could_go_again_only_after_the_deadline_is_not_waited_for() -> None:
    clock = FakeClock(auto=True)
    await clock.sleep(1_000)  # a client is used at any time, and not just when its clock begins
    network = Network(lambda request, n: replied(429, retry_after="60"))
    async with client_on(network, clock) as client:
        report = await client.send_bulk("1", rows(10), deadline=50)

    assert (counts(report), network.count, clock.monotonic()) == ({"not_sent": 10}, 1, 1_000)


async def test_a_wait_that_ends_before_the_deadline_is_waited() -> None:
    clock = FakeClock(auto=True)
    await clock.sleep(1_000)
    network = Network(lambda request, n: replied(429, retry_after="30") if n == 1 else accepted(request))
    async with client_on(network, clock) as client:
        report = await client.send_bulk("1", rows(10), deadline=50)

    assert (counts(report), network.count) == ({"accepted": 10}, 2)


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
