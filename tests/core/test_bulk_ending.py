"""How bulk runs end before their source does: stopped, failed, cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
from fakes import Gate, Network, accepted, client_on, counts, replied, rows

from mobiz_async import (
    BulkReport,
    BulkRun,
    ConfigurationError,
    InvalidPayloadError,
    MemoryJournal,
    MobizClient,
    NotSentError,
    OnInvalid,
    Outcome,
    SourceError,
    Stats,
    StopReason,
)
from mobiz_async.journal.protocol import Settlement
from mobiz_async.recipients.stages import Problem
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Attempt, Stage
from mobiz_async.wire import Request

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


async def endless(reached: asyncio.Event | None = None) -> AsyncIterator[Any]:
    """A source that has ten records, and waits for more of them for good."""
    for record in rows(10):
        yield record
    if reached is not None:
        reached.set()
    await asyncio.Event().wait()


async def test_stop_ends_a_wait_for_the_source_at_once() -> None:
    reached = asyncio.Event()
    async with client_on(Network()) as client, client.bulk("1", endless(reached), chunk_size=5) as run:
        await reached.wait()
        run.stop()
        report = await run.finish()

    assert (report.read, report.stopped) == (10, StopReason.ASKED)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send itself such a signal")
async def test_stop_in_an_ordinary_signal_handler_wakes_the_loop() -> None:
    """Python runs the handler while the loop waits, and lets it go on waiting: for an hour, if need be."""
    reached = asyncio.Event()
    async with client_on(Network()) as client, client.bulk("1", endless(reached), chunk_size=5) as run:
        before = signal.signal(signal.SIGUSR1, lambda *_: run.stop())
        try:
            await reached.wait()
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()  # the loop is idle by then
            report = await asyncio.wait_for(run.finish(), 10)
        finally:
            signal.signal(signal.SIGUSR1, before)

    assert (report.read, report.stopped) == (10, StopReason.ASKED)


async def test_stop_may_be_called_in_another_thread() -> None:
    reached = asyncio.Event()
    async with client_on(Network()) as client, client.bulk("1", endless(reached), chunk_size=5) as run:
        await reached.wait()
        threading.Timer(0.05, run.stop).start()  # as above
        report = await asyncio.wait_for(run.finish(), 10)

    assert (report.read, report.stopped) == (10, StopReason.ASKED)


def test_stop_is_harmless_after_the_run_and_when_its_loop_is_closed() -> None:
    async def main() -> tuple[BulkRun, StopReason | None]:
        async with client_on(Network()) as client:
            async with client.bulk("1", endless(), chunk_size=5) as run:
                run.stop()
            assert run.report is not None
            stopped = run.report.stopped
            run.stop()
            return run, stopped

    run, stopped = asyncio.run(main())
    run.stop()

    assert run.report is not None
    assert (stopped, run.report.stopped) == (StopReason.ASKED, StopReason.ASKED)


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
        with pytest.raises(SourceError, match=r"at record 1$"):
            await client.send_bulk("1", source())

    assert network.count == 0


@pytest.mark.parametrize("good", [0, 1, 1_000])
async def test_a_source_whose_own_waiting_was_cancelled_has_failed(good: int) -> None:
    """A pool that cancels its queries, say: nobody cancelled the run, and it has not come to its end either."""

    async def source() -> AsyncIterator[Any]:
        for record in rows(good):
            yield record
        broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        broken.cancel()
        await broken

    network = Network()
    async with client_on(network) as client:
        with pytest.raises(SourceError, match=f"CancelledError at record {good + 1:,}") as raised:
            await client.send_bulk("1", source(), chunk_size=1)

    report = raised.value.report
    assert (report.read, report.stopped, report.ok) == (good, StopReason.SOURCE, False)
    assert report.accepted + report.not_sent == good


async def test_a_reader_that_the_loop_cancels_ends_the_run_as_cancelled() -> None:
    reading = asyncio.Event()

    async def source() -> AsyncIterator[Any]:
        for record in rows(10):
            yield record
        reading.set()
        await asyncio.Event().wait()

    async with client_on(Network()) as client, client.bulk("1", source(), chunk_size=5) as run:
        await reading.wait()
        (reader,) = [task for task in asyncio.all_tasks() if task.get_name() == "mobiz_async.reader"]
        reader.cancel()
        report = await run.finish()

    assert (report.stopped, report.read, report.ok) == (StopReason.CANCELLED, 10, False)


async def test_an_error_of_ours_that_a_callback_raises_carries_the_report() -> None:
    def skipped(problem: Problem) -> None:
        raise ConfigurationError("nowhere to put it")

    async with client_on(Network()) as client:
        with pytest.raises(ConfigurationError) as raised:
            await client.send_bulk("1", [*rows(600), 5], chunk_size=100, on_invalid="skip", on_skipped=skipped)

    report = raised.value.report
    assert isinstance(report, BulkReport)
    assert (report.stopped, report.accepted + report.not_sent) == (StopReason.ERROR, 600)


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
        watched = client.bulk("1", rows(30), chunk_size=10, progress=progress)
        run = await watched.__aenter__()
        with pytest.raises(MistakeError):
            await asyncio.wait_for(iterate(run), 10)
        with contextlib.suppress(MistakeError):
            await watched.__aexit__(None, None, None)


async def test_skipped_records_are_handed_out_and_counted() -> None:
    skipped: list[Problem] = []
    records = [rows(1)[0], None, {"Message": "hi"}]
    async with client_on(Network()) as client:
        report = await client.send_bulk("1", records, on_invalid=OnInvalid.SKIP, on_skipped=skipped.append)

    assert counts(report) == {"accepted": 1, "skipped": 2}
    assert [(problem.row, problem.record) for problem in skipped] == [(2, None), (3, {"Message": "hi"})]


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
    why = "SendBulkMessages: outcome unknown; the run was ended while it was on its way"
    assert [str(chunk.error) for chunk in report.failures if chunk.outcome.value == "unknown"] == [why, why]


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


async def test_a_chunk_that_was_broken_off_before_it_went_says_so() -> None:
    """Here by what its transport waited for, so the run goes on and nothing but the chunk's own error can tell."""

    class Refusing(Network):
        async def post(self, request: Request, on_stage: Callable[[Stage], None]) -> Attempt:
            on_stage(Stage.CONNECTING)
            raise asyncio.CancelledError

    async with client_on(Refusing()) as client:
        report = await client.send_bulk("1", rows(10))

    assert (counts(report), report.stopped) == ({"not_sent": 10}, None)
    with pytest.raises(NotSentError, match=r"not sent \(it was broken off before that\)$"):
        report.raise_for_failures()


async def test_a_chunk_that_was_refused_as_the_run_was_cancelled_has_the_error_of_its_refusal() -> None:
    class Slow(MemoryJournal):
        async def settle(self, settlement: Settlement) -> bool:
            sending.cancel()
            for _ in range(20):  # in which it comes to the worker that waits for this
                await asyncio.sleep(0)
            return await super().settle(settlement)

    run = None

    async def send(client: MobizClient) -> None:
        nonlocal run
        async with client.bulk("1", rows(10), journal=Slow()) as run:
            await run.finish()

    async with client_on(Network(lambda request, n: replied(422))) as client:
        sending = asyncio.create_task(send(client))
        await asyncio.wait([sending])

    assert sending.cancelled()
    (refused,) = run.report.failures
    assert (refused.outcome, type(refused.error)) == (Outcome.REJECTED, InvalidPayloadError)


async def test_the_deadline_counts_what_it_takes_to_open_the_journal() -> None:
    clock = FakeClock(auto=True)

    class Far(MemoryJournal):
        async def open(self, identity: Mapping[str, str] | None) -> bool:
            await clock.sleep(50)
            return await super().open(identity)

    async def answer(request: Request) -> Attempt:
        await clock.sleep(4)
        return accepted(request)

    network = Network(lambda request, n: answer(request))
    async with client_on(network, clock) as client:
        report = await client.send_bulk("1", rows(100), chunk_size=1, concurrency=1, journal=Far(), deadline=60)

    assert (report.stopped, max(network.times) < 60, report.elapsed) == (StopReason.DEADLINE, True, 62)
