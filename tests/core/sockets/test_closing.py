"""What becomes of those who wait when a client, or a coalescer, is closed: told at once, and by what is proven."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from broken import serving

from mobiz_async import (
    ConnectError,
    MobizClient,
    NotSentError,
    OutcomeUnknownError,
    Pace,
    RetryPolicy,
    StopReason,
    TriggerReceipt,
)
from mobiz_async.testing import FakeClock, FakeTransport, Hold, Stage, lost, throttled

THANDI = {"A": "27821234567", "B": "Thandi"}
Make = Callable[..., MobizClient]

CALLS: dict[str, Callable[[MobizClient], Any]] = {
    "trigger": lambda client: client.trigger("key", THANDI),
    "schedule": lambda client: client.schedule("key", THANDI, send_time="later"),
    "append": lambda client: client.append("1", ["27821234567"]),
    "create_list": lambda client: client.create_list("Spring", {"Number": "msisdn"}, username="me"),
}


def people(count: int) -> list[dict[str, str]]:
    return [{"A": f"2782{n:07d}"} for n in range(count)]


@pytest.fixture
async def client_on() -> AsyncIterator[Any]:
    """Make clients whose clocks stand still: what waits, waits until it is ended."""
    made: list[MobizClient] = []

    def make(fake: FakeTransport, **settings: Any) -> tuple[MobizClient, FakeClock]:
        clock = FakeClock()
        made.append(MobizClient(transport=fake, clock=clock, **settings))
        return made[-1], clock

    yield make
    for client in made:
        await client.aclose(timeout=0.0)


@pytest.mark.parametrize("paused", [True, False], ids=["for the client's pause", "to go again"])
@pytest.mark.parametrize("policy", [RetryPolicy(), RetryPolicy(deadline=9000.0)], ids=["no deadline", "deadline"])
@pytest.mark.parametrize("call", CALLS)
async def test_who_waits_is_told_that_nothing_was_sent(
    client_on: Any, call: str, policy: RetryPolicy, *, paused: bool
) -> None:
    fake = FakeTransport([throttled(3000)])
    client, clock = client_on(fake, retry=policy)
    pacer = client._deliverer.pacer
    if paused:
        pacer.pause(3000)
    task = asyncio.create_task(CALLS[call](client))
    await clock.settle()
    await client.aclose(timeout=0.0)

    assert task.done()
    with pytest.raises(NotSentError, match="closed before it was sent"):
        await task
    assert (len(fake.requests), pacer.in_flight, pacer.waiting) == (int(not paused), 0, 0)


async def test_who_was_on_the_way_and_who_waited_have_their_answers_when_the_close_is_over(client_on: Any) -> None:
    fake = FakeTransport(then=Hold())
    client, _ = client_on(fake, pace=Pace(single_concurrency=1))
    tasks = [asyncio.create_task(client.trigger("key", THANDI)) for _ in range(3)]
    await fake.until(lambda: fake.held)
    await client.aclose(timeout=0.0)

    assert [task.done() for task in tasks] == [True] * 3
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [OutcomeUnknownError, NotSentError, NotSentError]


async def test_who_waits_to_go_again_may_do_so_until_the_time_is_up(client_on: Any) -> None:
    fake = FakeTransport([throttled(30)])
    client, clock = client_on(fake)
    task = asyncio.create_task(client.trigger("key", THANDI))
    await clock.settle()
    closing = asyncio.create_task(client.aclose())
    await clock.advance(60)
    await closing

    assert isinstance(await task, TriggerReceipt)


async def test_trigger_many_begins_no_batch_any_more(client_on: Any) -> None:
    fake = FakeTransport(then=Hold())
    client, _ = client_on(fake)
    task = asyncio.create_task(client.trigger_many("key", people(100), batch_size=1))
    await fake.until(lambda: fake.held)
    closing = asyncio.create_task(client.aclose())
    await asyncio.sleep(0)
    fake.release()
    await closing
    report = await task

    assert (len(fake.requests), report.accepted, report.stopped, report.ok) == (1, 1, StopReason.ASKED, False)


async def test_a_batch_that_waits_to_go_again_does_not_hold_up_the_close(client_on: Any) -> None:
    fake = FakeTransport([throttled(3000)])
    client, clock = client_on(fake)
    task = asyncio.create_task(client.trigger_many("key", people(2), batch_size=1))
    await clock.settle()
    async with asyncio.timeout(10):
        await client.aclose(timeout=3600.0)
    report = await task

    assert (len(fake.requests), report.not_sent, report.stopped) == (1, 1, StopReason.ASKED)


async def test_a_source_that_gives_nothing_does_not_hold_up_the_close(client_on: Any) -> None:
    closed = []

    async def source() -> AsyncIterator[Any]:
        try:
            yield THANDI
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    client, clock = client_on(FakeTransport())
    task = asyncio.create_task(client.trigger_many("key", source(), batch_size=1))
    await clock.settle()
    async with asyncio.timeout(10):
        await client.aclose(timeout=3600.0)
    report = await task

    assert (report.ok, report.stopped, closed) == (False, StopReason.ASKED, [True])


async def hanging(started: asyncio.Event) -> None:
    started.set()
    await asyncio.Event().wait()


@pytest.fixture
def looking_up(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Name look-ups that never end; set when one has begun."""
    started = asyncio.Event()

    async def resolve(*_: Any, **__: Any) -> Any:
        await hanging(started)

    monkeypatch.setattr(aiohttp.DefaultResolver, "resolve", resolve)
    return started


@pytest.mark.parametrize("call", CALLS)
async def test_closing_during_a_name_look_up_is_no_cancellation(
    call: str, client_of: Make, looking_up: asyncio.Event
) -> None:
    """aiohttp cancels its look-ups, and nobody has cancelled the task that waits for one."""
    client = client_of("https://somewhere.example")
    task = asyncio.create_task(CALLS[call](client))
    await looking_up.wait()
    await client.aclose(timeout=0.0)

    with pytest.raises(NotSentError):
        await task


async def test_a_session_that_ends_during_a_name_look_up_is_a_lost_connection(
    client_of: Make, looking_up: asyncio.Event
) -> None:
    async with aiohttp.ClientSession() as session:
        client = client_of("https://somewhere.example", session=session, retry=RetryPolicy(max_attempts=1))
        task = asyncio.create_task(client.trigger("key", THANDI))
        await looking_up.wait()

    with pytest.raises(ConnectError):
        await task


async def test_whoever_is_cancelled_during_a_name_look_up_is_cancelled(
    client_of: Make, looking_up: asyncio.Event
) -> None:
    task = asyncio.create_task(client_of("https://somewhere.example").trigger("key", THANDI))
    await looking_up.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


# Coalescers


async def test_a_coalesced_batch_that_was_turned_away_is_not_unknown(client_on: Any) -> None:
    fake = FakeTransport([throttled(3000)])
    client, clock = client_on(fake)
    async with client.coalesce("key", max_batch=3, max_wait=60.0, close_timeout=0.0) as pins:
        tasks = [asyncio.create_task(pins.send(THANDI)) for _ in range(3)]
        await fake.until(lambda: fake.requests)
        await clock.settle()
    errors = await asyncio.gather(*tasks, return_exceptions=True)

    assert [(type(error), error.attempts) for error in errors] == [(NotSentError, 1)] * 3


@pytest.mark.parametrize(
    ("stage", "error"),
    [
        (Stage.QUEUED, NotSentError),
        (Stage.CONNECTING, ConnectError),
        (Stage.SENDING, OutcomeUnknownError),
        (Stage.SENT, OutcomeUnknownError),
    ],
)
async def test_a_coalesced_batch_that_is_cut_short_is_what_its_stage_proves(
    client_on: Any, stage: Stage, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeTransport(then=Hold(stage))
    client, _ = client_on(fake)
    async with client.coalesce("key", max_wait=0.0, close_timeout=0.0) as pins:
        task = asyncio.create_task(pins.send(THANDI))
        await fake.until(lambda: fake.held)

    assert task.done()
    assert type(task.exception()) is error
    unknown = error is OutcomeUnknownError
    told = [(record.not_sent, record.unknown) for record in caplog.records if hasattr(record, "not_sent")]
    assert told == [(int(not unknown), int(unknown))]


async def test_an_earlier_unknown_outlasts_a_cut(client_on: Any) -> None:
    client, _ = client_on(FakeTransport([lost(), Hold()]))
    async with client.coalesce("key", max_wait=0.0) as pins:
        with pytest.raises(OutcomeUnknownError):
            await pins.send(THANDI)


async def test_a_coalescer_takes_nothing_more_once_its_client_closes(client_on: Any) -> None:
    fake = FakeTransport(then=Hold())
    client, _ = client_on(fake)
    async with client.coalesce("key", max_batch=1, max_batches_in_flight=1) as pins:
        tasks = [asyncio.create_task(pins.send(THANDI)) for _ in range(2)]
        await fake.until(lambda: fake.held)
        await client.aclose(timeout=0.0)
        with pytest.raises(RuntimeError, match="coalescer is closed"):
            await pins.send(THANDI)
    errors = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(error) for error in errors] == [OutcomeUnknownError, NotSentError]
    assert len(fake.requests) == 1


async def test_over_a_socket_a_close_ends_the_wait_for_retry_after(client_of: Make) -> None:
    async def script(peer: Any) -> None:
        while True:
            await peer.request()
            await peer.answer("429 Too Many Requests", b"{}", "Retry-After: 3000")

    async with serving(script) as seen:
        client = client_of(seen.url)
        tasks = [asyncio.create_task(client.trigger("key", THANDI)) for _ in range(3)]
        await seen.until(lambda: len(seen.requests) >= 3)
        async with asyncio.timeout(10):
            await client.aclose(timeout=0.0)
            errors = await asyncio.gather(*tasks, return_exceptions=True)

    assert {type(error) for error in errors} <= {NotSentError, OutcomeUnknownError}
