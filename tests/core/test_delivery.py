"""One request from the queue to its verdict: attempts, waits, hooks, events, halting and cancelling."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

import pytest
from fakes import Answering, Gate, Network, accepted, failed, replied

from mobiz_async import AttemptEvent, Outcome, Pace, RetryPolicy
from mobiz_async.delivery import Deliverer, Hooks
from mobiz_async.pacing import Lane, Pacer
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Failure, Judged, Stage, Verdict
from mobiz_async.wire import append_request

REQUEST = append_request("1", b"[]", 5)
UNREACHABLE = failed(Stage.CONNECTING, Failure.CONNECT)


def deliverer(
    answer: Answering = accepted, clock: FakeClock | None = None, **settings: Any
) -> tuple[Deliverer, Network, list[AttemptEvent]]:
    clock = clock or FakeClock(auto=True)
    network = Network(answer, now=clock.monotonic)
    events: list[AttemptEvent] = []
    pacer = Pacer(settings.pop("pace", Pace()), clock)
    policy = settings.pop("policy", RetryPolicy())
    made = Deliverer(network, pacer, policy, clock, [events.append], chance=lambda: 1.0, **settings)
    return made, network, events


async def test_an_accepted_request_is_one_attempt() -> None:
    made, network, events = deliverer()

    delivery = await made.deliver(REQUEST, Lane.BULK)

    assert (delivery.judged.verdict, delivery.attempts, network.count) == (Verdict.ACCEPTED, 1, 1)
    assert [(e.operation, e.outcome, e.verdict, e.status, e.records, e.attempt, e.bytes) for e in events] == [
        ("SendBulkMessages", Outcome.ACCEPTED, "accepted", 200, 5, 1, 2)
    ]


async def test_attempts_go_on_with_backoff_until_they_are_used_up() -> None:
    made, network, events = deliverer(lambda request, n: UNREACHABLE, policy=RetryPolicy(max_attempts=4, base=1.0))

    delivery = await made.deliver(REQUEST, Lane.SINGLE)

    assert (delivery.judged.verdict, delivery.attempts) == (Verdict.CONNECT_FAILED, 4)
    assert network.times == [0.0, 1.0, 3.0, 7.0]
    assert [event.attempt for event in events] == [1, 2, 3, 4]


async def test_a_pause_of_the_server_is_obeyed_by_the_whole_client() -> None:
    made, network, _ = deliverer(
        lambda request, n: replied(429, None, retry_after="30") if n == 1 else accepted(request)
    )

    first = asyncio.create_task(made.deliver(REQUEST, Lane.BULK))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.gather(first, *(made.deliver(REQUEST, Lane.SINGLE) for _ in range(3)))

    assert min(network.times[1:]) >= 30


async def test_the_hooks_come_before_the_first_byte_and_after_each_verdict() -> None:
    told: list[Any] = []

    async def before() -> None:
        told.append(("before", network.count))

    async def after(judged: Judged) -> None:
        told.append(("after", judged.verdict))

    made, network, _ = deliverer(lambda request, n: UNREACHABLE if n == 1 else accepted(request))
    await made.deliver(REQUEST, Lane.BULK, hooks=Hooks(before, after, told.append))

    assert told == [
        ("before", 0),
        Stage.CONNECTING,
        Stage.CONNECTING,
        ("after", Verdict.CONNECT_FAILED),
        ("before", 1),
        Stage.CONNECTING,
        Stage.SENT,
        ("after", Verdict.ACCEPTED),
    ]


@pytest.mark.parametrize("which", ["before", "after"])
async def test_what_a_hook_raises_ends_the_delivery_and_frees_its_slot(which: str) -> None:
    async def hook(*_: Any, name: str) -> None:
        if name == which:
            raise LookupError

    hooks = Hooks(partial(hook, name="before"), partial(hook, name="after"), lambda _: None)
    made, network, _ = deliverer()
    with pytest.raises(LookupError):
        await made.deliver(REQUEST, Lane.BULK, hooks=hooks)

    assert (0, 0 if which == "before" else 1) == (made.pacer.in_flight, network.count)


async def test_once_halted_no_attempt_begins() -> None:
    halt = asyncio.Event()
    halt.set()
    made, network, _ = deliverer()

    delivery = await made.deliver(REQUEST, Lane.BULK, halt=halt)

    assert (
        delivery.judged.verdict,
        delivery.judged.attempt.failure,
        delivery.attempts,
        network.count,
    ) == (Verdict.NOT_STARTED, Failure.STOPPED, 0, 0)
    assert made.pacer.in_flight == 0


async def test_a_halt_ends_the_wait_between_attempts() -> None:
    halt = asyncio.Event()
    clock = FakeClock()
    made, network, _ = deliverer(lambda request, n: UNREACHABLE, clock, policy=RetryPolicy(base=100, cap=100))

    task = asyncio.create_task(made.deliver(REQUEST, Lane.BULK, halt=halt))
    await clock.settle()
    halt.set()
    delivery = await task

    assert (delivery.judged.verdict.outcome, network.count, clock.monotonic()) == (Outcome.NOT_SENT, 1, 0.0)
    assert clock.sleepers == 0


async def test_a_halt_ends_the_wait_for_a_slot() -> None:
    halt = asyncio.Event()
    gate = Gate()
    made, network, _ = deliverer(lambda request, n: gate.passed(accepted(request)), pace=Pace(concurrency=1))

    first = asyncio.create_task(made.deliver(REQUEST, Lane.BULK))
    await gate.until_waiting(1)
    second = asyncio.create_task(made.deliver(REQUEST, Lane.BULK, halt=halt))
    await asyncio.sleep(0)
    halt.set()
    stopped = await second
    gate.open.set()
    await first

    assert (stopped.judged.verdict, network.count, made.pacer.waiting) == (Verdict.NOT_STARTED, 1, 0)


@pytest.mark.parametrize("ended_by", ["a halt", "a cancellation"])
@pytest.mark.parametrize("turns", range(6))
async def test_a_slot_that_comes_too_late_for_one_goes_to_the_next(turns: int, ended_by: str) -> None:
    """It may come in the very moment its request is ended: then it must not be lost."""
    halt = asyncio.Event()
    gate = Gate()
    made, network, _ = deliverer(
        lambda request, n: gate.passed(accepted(request)) if n == 1 else accepted(request), pace=Pace(concurrency=1)
    )
    first = asyncio.create_task(made.deliver(REQUEST, Lane.BULK))
    await gate.until_waiting(1)
    second = asyncio.create_task(made.deliver(REQUEST, Lane.BULK, halt=halt))
    await asyncio.sleep(0)
    gate.open.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    if ended_by == "a halt":
        halt.set()
    else:
        second.cancel()
    await asyncio.wait([first, second])

    third = await asyncio.wait_for(made.deliver(REQUEST, Lane.BULK), 10.0)

    assert (third.judged.verdict, made.pacer.waiting) == (Verdict.ACCEPTED, 0)
    assert network.count in {2, 3}


async def test_a_halt_lets_an_attempt_that_has_begun_end() -> None:
    halt = asyncio.Event()
    gate = Gate()
    made, _, _ = deliverer(lambda request, n: gate.passed(accepted(request)))

    task = asyncio.create_task(made.deliver(REQUEST, Lane.BULK, halt=halt))
    await gate.until_waiting(1)
    halt.set()
    gate.open.set()

    assert (await task).judged.verdict is Verdict.ACCEPTED


async def test_a_deadline_of_the_run_ends_the_attempts() -> None:
    clock = FakeClock(auto=True)
    await clock.sleep(100.0)
    made, network, _ = deliverer(lambda request, n: UNREACHABLE, clock, policy=RetryPolicy(base=4, cap=4))

    await made.deliver(REQUEST, Lane.SINGLE, deadline=110.0)

    assert network.times == [100.0, 104.0, 108.0]


@pytest.mark.parametrize("resend", [False, True])
async def test_an_unknown_goes_again_only_where_it_was_asked_for(resend: bool) -> None:
    made, network, _ = deliverer(lambda request, n: failed() if n == 1 else accepted(request))

    delivery = await made.deliver(REQUEST, Lane.BULK, resend_unknown=resend)

    expected = (Verdict.ACCEPTED, 2) if resend else (Verdict.NO_ANSWER, 1)
    assert expected == (delivery.judged.verdict, network.count)


@pytest.mark.parametrize(("patient", "attempts"), [(True, 31), (False, 8)])
async def test_an_outage_of_a_server_that_was_reached_is_waited_out_by_the_patient(
    patient: bool, attempts: int
) -> None:
    made, _, _ = deliverer(
        lambda request, n: UNREACHABLE if 1 < n <= 31 else accepted(request), pace=Pace(breaker_threshold=1)
    )
    await made.deliver(REQUEST, Lane.BULK)

    delivery = await made.deliver(REQUEST, Lane.BULK, patient=patient)

    assert (attempts, patient) == (delivery.attempts, delivery.judged.verdict is Verdict.ACCEPTED)


async def test_cancelled_in_the_queue_nothing_was_sent_and_the_slot_is_free() -> None:
    gate = Gate()
    made, network, events = deliverer(lambda request, n: gate.passed(accepted(request)), pace=Pace(concurrency=1))
    first = asyncio.create_task(made.deliver(REQUEST, Lane.BULK))
    await gate.until_waiting(1)
    second = asyncio.create_task(made.deliver(REQUEST, Lane.BULK))
    await made.clock.sleep(3.0)
    second.cancel()
    await asyncio.wait([second])
    gate.open.set()
    await first

    assert (second.cancelled(), network.count, made.pacer.in_flight, made.pacer.waiting) == (True, 1, 0, 0)
    assert [(event.verdict, event.seconds) for event in events] == [("not_started", 0.0), ("accepted", 3.0)]


async def test_cancelled_on_its_way_the_event_says_unknown() -> None:
    gate = Gate()
    made, _, events = deliverer(lambda request, n: gate.passed(accepted(request)))
    task = asyncio.create_task(made.deliver(REQUEST, Lane.BULK))
    await gate.until_waiting(1)
    task.cancel()
    await asyncio.wait([task])

    assert ([event.outcome for event in events], made.pacer.in_flight) == ([Outcome.UNKNOWN], 0)


async def test_every_request_has_exactly_one_last_event() -> None:
    halt = asyncio.Event()
    made, _, events = deliverer(lambda request, n: accepted(request) if n % 3 == 0 else UNREACHABLE)

    await asyncio.gather(*(made.deliver(REQUEST, Lane.SINGLE) for _ in range(10)))
    halt.set()
    await made.deliver(REQUEST, Lane.BULK, halt=halt)

    assert len([event for event in events if event.retry_in is None]) == 11


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
async def test_the_log_tells_what_the_events_do_and_nothing_secret(
    caplog: pytest.LogCaptureFixture, level: int
) -> None:
    caplog.set_level(level, "mobiz_async")
    made, _, _ = deliverer()
    await made.deliver(REQUEST, Lane.BULK)

    assert (level == logging.DEBUG) is any("SendBulkMessages" in record.getMessage() for record in caplog.records)


def test_nothing_of_the_request_shows() -> None:
    made, _, _ = deliverer()

    assert "list_id" not in repr(made) + repr(REQUEST)
