"""``trigger_many`` and ``schedule_many``: side by side, bounded, and no batch hides another's ids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fakes import Gate, Network, accepted, agen, client_on, failed, numbers, replied

from mobiz_async import (
    AuthenticationError,
    ConfigurationError,
    InvalidRecordError,
    MobizClient,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    SourceError,
    StopReason,
    TriggerReport,
)
from mobiz_async.sandbox import Fault, Faults, Sandbox
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Failure, Stage

TRIGGER = "sandbox-trigger"


def people(count: int) -> list[dict[str, str]]:
    return [{"A": number, "B": "x"} for number in numbers(count)]


async def test_batches_go_in_order_and_each_object_has_its_id(client: MobizClient, sandbox: Sandbox) -> None:
    report = await client.trigger_many(TRIGGER, people(25), batch_size=10)

    assert [(b.index, b.first_record, b.count) for b in report.batches] == [(0, 1, 10), (1, 11, 10), (2, 21, 5)]
    assert (report.ok, report.accepted, report.requests) == (True, 25, 3)
    of_number = {message.number: message.message_id for message in sandbox.messages}
    assert [of_number[number] for number in numbers(25)] == list(report.message_ids)


async def test_a_batch_is_an_array_even_of_one() -> None:
    network = Network()
    async with client_on(network) as client:
        await client.trigger_many("key", people(1))

    assert [people(1)] == network.bodies


async def test_the_default_batch_is_500() -> None:
    network = Network()
    async with client_on(network) as client:
        await client.trigger_many("key", people(1001))

    assert [post.records for post in network.posts] == [500, 500, 1]


async def test_scheduled_batches_all_carry_their_time(client: MobizClient, sandbox: Sandbox) -> None:
    when = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)

    report = await client.schedule_many(TRIGGER, people(25), send_time=when, batch_size=10)

    assert (report.accepted, len(sandbox.requests)) == (25, 3)
    assert {str(int(when.timestamp()))} == {message.send_time for message in sandbox.messages}


async def test_nothing_is_no_request() -> None:
    network = Network()
    async with client_on(network) as client:
        report = await client.trigger_many("key", [])

    assert (report.batches, report.requests, report.ok, network.count) == ((), 0, True, 0)


@pytest.mark.parametrize("source", [iter, agen])
async def test_rows_may_come_from_any_iterable(source: Any) -> None:
    async with client_on(Network()) as client:
        assert (await client.trigger_many("key", source(people(25)), batch_size=10)).accepted == 25


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault.RESET_AFTER_APPLY, Outcome.UNKNOWN),
        (Fault.ERROR_500_AFTER_APPLY, Outcome.UNKNOWN),
        (Fault.REJECTED_200, Outcome.REJECTED),
        (Fault.ERROR_400_LOGIC_APPS, Outcome.REJECTED),
    ],
)
async def test_one_failed_batch_hides_no_others_ids(client: MobizClient, sandbox: Sandbox, fault, outcome) -> None:
    sandbox.faults = Faults.script([None, fault])

    report = await client.trigger_many(TRIGGER, people(40), batch_size=10, concurrency=1)

    assert [Outcome.ACCEPTED, outcome, Outcome.ACCEPTED, Outcome.ACCEPTED] == [b.outcome for b in report.batches]
    assert [one is not None for one in report.message_ids] == [True] * 10 + [False] * 10 + [True] * 20
    assert (None, outcome) == (report.batches[1].receipt, report.batches[1].outcome)
    assert not report.ok
    with pytest.raises(type(report.batches[1].error)):
        report.raise_for_failures()


async def test_ids_are_attributed_to_nobody_when_the_lengths_disagree(client: MobizClient, sandbox: Sandbox) -> None:
    sandbox.faults = Faults.script([None, Fault.FEWER_IDS])

    report = await client.trigger_many(TRIGGER, people(20), batch_size=10, concurrency=1)

    assert (report.ok, report.accepted) == (True, 20)
    assert [batch.receipt.attributable for batch in report.batches] == [True, False]
    assert [one is not None for one in report.message_ids] == [True] * 10 + [False] * 10
    assert len(report.batches[1].receipt.messages) == 9


async def test_a_message_with_another_word_than_submitted_is_counted_and_stays_accepted() -> None:
    """The vendor documents the one word; what "FAILED" under an acceptance means is not known."""
    words = [{"Message_Id": "1", "Status": "SUBMITTED"}, {"Message_Id": "2", "Status": "FAILED"}]
    value = {"Result_Code": 3, "Message_Status": words}
    async with client_on(Network(lambda request, n: replied(200, value))) as client:
        report = await client.trigger_many("key", people(4), batch_size=2)

    assert (report.accepted, report.ok, report.not_submitted) == (4, True, 2)
    receipt = report.batches[0].receipt
    assert [receipt.submitted, receipt.part(0).submitted, receipt.part(1).submitted] == [False, True, False]


async def test_an_empty_202_has_no_ids(client_of: Callable[..., MobizClient]) -> None:
    async with Sandbox(empty_202=True) as sandbox:
        report = await client_of(sandbox).trigger_many(TRIGGER, people(3))

    assert (report.accepted, report.message_ids) == (3, (None, None, None))


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_more_batches_are_in_flight_than_asked_for(concurrency: int) -> None:
    gate = Gate()
    network = Network(lambda request, n: accepted(request) if n == 1 else gate.passed(accepted(request)))
    async with client_on(network) as client:
        task = asyncio.create_task(client.trigger_many("key", people(100), batch_size=10, concurrency=concurrency))
        await gate.until_waiting(concurrency)
        gate.open.set()
        report = await task

    assert (100, concurrency) == (report.accepted, network.most_in_flight)


@pytest.mark.parametrize("value", [{"Result_Code": 0}, {"Result_Code": 1}])
async def test_refused_credentials_cost_one_request_and_the_rest_is_not_read(value: dict) -> None:
    taken = 0

    def source() -> Iterator[Any]:
        nonlocal taken
        for one in people(10_000):
            taken += 1
            yield one

    network = Network(lambda request, n: replied(200, value))
    async with client_on(network) as client:
        report = await client.trigger_many("key", source(), batch_size=10)

    assert (network.count, report.batches[0].outcome) == (1, Outcome.REJECTED)
    assert taken < 1000
    with pytest.raises(AuthenticationError if value["Result_Code"] == 0 else Exception):
        report.raise_for_failures()


async def test_batches_that_were_waiting_when_the_rest_was_stopped_are_not_sent() -> None:
    gate = Gate()

    def answer(request: Any, n: int) -> Any:
        if n == 1:
            return accepted(request)
        return gate.passed(replied(401) if n == 2 else accepted(request))

    network = Network(answer)
    async with client_on(network) as client:
        task = asyncio.create_task(client.trigger_many("key", people(100), batch_size=10, concurrency=2))
        await gate.until_waiting(2)
        gate.open.set()
        report = await task

    assert [b.outcome for b in report.batches] == [
        Outcome.ACCEPTED,
        Outcome.REJECTED,
        Outcome.ACCEPTED,
        Outcome.NOT_SENT,
    ]
    assert (network.count, report.read) == (3, 40)


async def test_a_bad_record_ends_the_reading_and_what_was_sent_is_in_the_report() -> None:
    closed = []

    def source() -> Iterator[Any]:
        try:
            yield from people(600)
            yield {"A": float("nan")}
        finally:
            closed.append(True)

    async with client_on(Network()) as client:
        with pytest.raises(InvalidRecordError) as raised:
            await client.trigger_many("key", source(), batch_size=100)

    assert (raised.value.row, raised.value.field, closed) == (601, "A", [True])
    assert raised.value.report is not None
    assert raised.value.report.accepted % 100 == 0
    assert raised.value.report.accepted >= 200


async def test_a_source_that_raises_ends_the_reading_and_what_was_sent_is_in_the_report() -> None:
    def source() -> Iterator[Any]:
        yield from people(25)
        raise ValueError("27821234567")

    async with client_on(Network()) as client:
        with pytest.raises(SourceError) as raised:
            await client.trigger_many("key", source(), batch_size=10)

    report = raised.value.report
    assert (raised.value.row, report.accepted, report.stopped) == (26, 20, StopReason.SOURCE)
    assert isinstance(raised.value.__cause__, ValueError)


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"batch_size": -5}, {"concurrency": 0}, {"concurrency": -1}])
async def test_settings_that_make_no_sense_are_refused_before_anything_is_sent(settings: dict) -> None:
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(ConfigurationError, match="at least 1"):
            await client.trigger_many("key", people(1), **settings)

    assert network.count == 0


async def test_cancelling_leaves_nothing_behind() -> None:
    gate = Gate()
    network = Network(lambda request, n: accepted(request) if n == 1 else gate.passed(accepted(request)))
    async with client_on(network) as client:
        task = asyncio.create_task(client.trigger_many("key", people(100), batch_size=10, concurrency=3))
        await gate.until_waiting(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert (network.in_flight, gate.waiting) == (0, 0)


def task_named(name: str) -> asyncio.Task[Any]:
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == f"mobiz_async.{name}"]
    return task


def told(report: TriggerReport) -> list[tuple[int, Outcome]]:
    assert report.read == report.accepted + report.rejected + report.not_sent + report.unknown
    return [(batch.count, batch.outcome) for batch in report.batches]


@pytest.mark.parametrize("source", [iter, agen])
async def test_a_batch_is_unknown_when_what_its_transport_waits_for_is_cancelled(source: Any) -> None:
    """A pool of the transport's own that is recycled, say: nobody cancelled the call."""

    async def recycled() -> Any:
        pool: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        pool.cancel()
        return await pool

    network = Network(lambda request, n: recycled() if n == 3 else accepted(request))
    async with client_on(network) as client:
        report = await client.trigger_many("key", source(people(100)), batch_size=10, concurrency=1)

    fates = [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.UNKNOWN]
    assert told(report)[:3] == [(10, fate) for fate in fates]
    assert set(told(report)[3:]) <= {(10, Outcome.NOT_SENT)}  # one may have been read that waited for the third
    assert (report.stopped, report.ok, report.requests, network.count) == (StopReason.CANCELLED, False, 3, 3)
    assert isinstance(report.batches[2].error, OutcomeUnknownError)


async def test_a_batch_whose_task_is_cancelled_is_what_is_proven_and_the_others_are_finished() -> None:
    gate = Gate()
    network = Network(lambda request, n: accepted(request) if n < 3 else gate.passed(accepted(request)))
    async with client_on(network) as client:
        call = asyncio.create_task(client.trigger_many("key", people(100), batch_size=10, concurrency=2))
        await gate.until_waiting(2)
        victim = next(task for task in asyncio.all_tasks() if task.get_name() == "mobiz_async.worker")
        victim.cancel()
        await asyncio.wait([victim])
        gate.open.set()
        report = await call

    assert report.read == report.accepted + report.unknown + report.not_sent
    assert (report.accepted, report.unknown, network.count) == (30, 10, 4)
    assert (report.stopped, report.ok) == (StopReason.CANCELLED, False)


async def test_a_batch_that_is_cancelled_while_it_waits_to_go_again_is_not_sent() -> None:
    clock = FakeClock()
    network = Network(lambda request, n: replied(429, None, retry_after="100"))
    async with client_on(network, clock) as client:
        call = asyncio.create_task(client.trigger_many("key", people(10), batch_size=10))
        await clock.settle()
        task_named("worker").cancel()
        report = await call

    assert (told(report), report.stopped) == ([(10, Outcome.NOT_SENT)], StopReason.CANCELLED)
    assert isinstance(report.batches[0].error, NotSentError)


async def test_a_batch_that_is_cancelled_before_its_task_began_is_not_sent_and_holds_nobody_up() -> None:
    loop = asyncio.get_running_loop()
    begun: list[asyncio.Task[Any]] = []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **settings: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=loop, **settings)
        if coro.__name__ == "_send":
            begun.append(task)
            if len(begun) == 2:
                task.cancel()
        return task

    network = Network()
    loop.set_task_factory(factory)
    async with client_on(network) as client, asyncio.timeout(10):
        report = await client.trigger_many("key", people(100), batch_size=10, concurrency=1)

    assert told(report)[:2] == [(10, Outcome.ACCEPTED), (10, Outcome.NOT_SENT)]
    assert (report.stopped, report.ok, network.count) == (StopReason.CANCELLED, False, 1)


@pytest.mark.parametrize("good", [0, 25])
async def test_a_reader_that_the_loop_cancels_ends_the_run_as_cancelled(good: int) -> None:
    reading = asyncio.Event()

    async def source() -> AsyncIterator[Any]:
        for one in people(good):
            yield one
        reading.set()
        await asyncio.Event().wait()

    async with client_on(Network()) as client:
        call = asyncio.create_task(client.trigger_many("key", source(), batch_size=10))
        await reading.wait()
        task_named("reader").cancel()
        report = await call

    assert told(report) == [(10, Outcome.ACCEPTED)] * (good // 10)
    assert (report.stopped, report.ok) == (StopReason.CANCELLED, False)


async def test_a_reader_that_is_cancelled_with_a_batch_in_hand_ends_the_run_and_the_batch_is_not_sent() -> None:
    gate = Gate()
    network = Network(lambda request, n: accepted(request) if n == 1 else gate.passed(accepted(request)))
    async with client_on(network) as client:
        call = asyncio.create_task(client.trigger_many("key", people(100), batch_size=10, concurrency=1))
        await gate.until_waiting(1)
        task_named("reader").cancel()
        gate.open.set()
        report = await call

    assert told(report) == [(10, Outcome.ACCEPTED), (10, Outcome.ACCEPTED), (10, Outcome.NOT_SENT)]
    assert (report.stopped, report.ok) == (StopReason.CANCELLED, False)


async def test_unknown_batches_are_sent_once(client: MobizClient, sandbox: Sandbox) -> None:
    sandbox.faults = Faults.always(Fault.CLOSE_AFTER_APPLY)

    report = await client.trigger_many(TRIGGER, people(30), batch_size=10)

    assert (report.unknown, len(sandbox.requests)) == (30, 3)
    assert {OutcomeUnknownError} == {type(batch.error) for batch in report.batches}
    assert set(sandbox.triggered().values()) == {1}


async def test_a_throttled_batch_goes_again() -> None:
    network = Network(lambda request, n: accepted(request) if n != 2 else replied(429, None, retry_after="1"))
    async with client_on(network) as client:
        report = await client.trigger_many("key", people(30), batch_size=10)

    assert (report.ok, report.requests, [batch.attempts for batch in report.batches]) == (True, 4, [1, 2, 1])
    assert report.elapsed == max(network.times) >= 1.0


async def test_an_outage_of_a_server_that_had_answered_is_waited_out_by_batches_too() -> None:
    down = failed(Stage.CONNECTING, Failure.CONNECT)
    network = Network(lambda request, n: down if 1 < n < 40 else accepted(request))
    async with client_on(network) as client:
        report = await client.trigger_many("key", people(30), batch_size=10)

    assert (report.ok, report.accepted) == (True, 30)


async def test_a_batch_larger_than_a_body_may_be_is_divided_by_its_bytes() -> None:
    network = Network()
    async with client_on(network) as client:
        await client.trigger_many("key", [{"A": "1", "E": "x" * (1 << 20)}] * 9, batch_size=9)

    assert all(len(post.body) <= 4 << 20 for post in network.posts)
    assert sum(post.records for post in network.posts) == 9


async def test_a_lost_connection_is_told_as_such() -> None:
    async with client_on(Network(lambda request, n: failed())) as client:
        report = await client.trigger_many("key", people(1))

    assert "the connection was lost" in str(report.batches[0].error)
