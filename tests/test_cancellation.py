"""What cancelling does to one request, at each point of its way: what is told, what went out, what is left behind."""

from __future__ import annotations

import asyncio

import pytest

from mobiz_async import MobizClient, OnUnknown, Outcome, OutcomeUnknownError, Pace, RetryPolicy, StopReason
from mobiz_async.sandbox import Fault, Faults, Sandbox
from mobiz_async.testing import FakeClock, FakeTransport, Hold, Stage, no_connection, throttled, timeout

ONE = {"A": "27821234567"}


class Told:
    """An event hook that keeps what it is told."""

    def __init__(self):
        self.events = []

    def __call__(self, event):
        self.events.append(event)

    @property
    def words(self):
        return [(event.verdict, event.attempt, event.retry_in is None) for event in self.events]


@pytest.fixture
def told():
    return Told()


def client(fake, told, clock=None, **settings):
    return MobizClient(transport=fake, events=[told], clock=clock or FakeClock(auto=True), **settings)


def notes(error):
    return getattr(error, "__notes__", [])


async def cancelled(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return caught.value


async def test_cancelled_while_it_waits_for_a_slot_it_never_went_out_and_takes_no_slot(told):
    fake = FakeTransport([Hold()])
    async with client(fake, told, pace=Pace(single_concurrency=1)) as mobiz:
        first = asyncio.create_task(mobiz.trigger("spring", ONE))
        await fake.until(lambda: fake.held)
        second = asyncio.create_task(mobiz.trigger("spring", ONE))
        await asyncio.sleep(0)
        error = await cancelled(second)
        fake.release()
        await first
        await mobiz.trigger("spring", ONE)

    assert notes(error) == []
    assert told.words == [("not_started", 0, True), ("accepted", 1, True), ("accepted", 1, True)]
    assert len(fake.requests) == 2


@pytest.mark.parametrize(
    ("stage", "verdict", "note"),
    [
        (Stage.CONNECTING, "connect_failed", False),
        (Stage.SENDING, "no_answer", True),
        (Stage.SENT, "no_answer", True),
    ],
)
async def test_cancelled_on_its_way_it_is_unknown_from_the_first_byte_on(told, stage, verdict, note):
    fake = FakeTransport([Hold(stage)])
    async with client(fake, told) as mobiz:
        task = asyncio.create_task(mobiz.trigger("spring", ONE))
        await fake.until(lambda: fake.held)
        error = await cancelled(task)

    assert told.words == [(verdict, 1, True)]
    assert [text.startswith("mobiz_async: TriggerMessage was cancelled after") for text in notes(error)] == [
        True
    ] * note


async def test_cancelled_between_two_attempts_it_is_not_sent_and_accounted_for_once(told):
    clock = FakeClock()
    fake = FakeTransport([throttled(30)])
    async with client(fake, told, clock) as mobiz:
        task = asyncio.create_task(mobiz.trigger("spring", ONE))
        await clock.settle()
        error = await cancelled(task)

    assert notes(error) == []
    assert told.words == [("throttled", 1, False), ("not_started", 1, True)]
    assert len(fake.requests) == 1


async def test_a_timeout_around_a_call_is_a_cancelling_and_the_client_goes_on(told):
    fake = FakeTransport([Hold()])
    async with client(fake, told) as mobiz:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await mobiz.trigger("spring", ONE)
        receipt = await mobiz.trigger("spring", ONE)

    assert receipt.message_id == "message-2-1"
    assert told.words == [("no_answer", 1, True), ("accepted", 1, True)]


async def test_an_event_of_a_cancelled_attempt_lasts_as_long_as_it_did(told):
    clock = FakeClock()
    fake = FakeTransport([Hold()])
    async with client(fake, told, clock) as mobiz:
        task = asyncio.create_task(mobiz.trigger("spring", ONE))
        await clock.advance(2.5)
        await cancelled(task)

    assert told.events[0].seconds == 2.5


async def test_a_cancelled_request_leaves_no_connection_and_no_task_behind(told):
    async with (
        Sandbox(faults=Faults.script([Fault.HANG_AFTER_APPLY])) as sandbox,
        MobizClient("sandbox-api-key", "sandbox-subscription-key", base_url=sandbox.base_url, events=[told]) as mobiz,
    ):
        before = asyncio.all_tasks()
        task = asyncio.create_task(mobiz.trigger("sandbox-trigger", ONE))
        await sandbox.until(lambda: sandbox.held)
        error = await cancelled(task)
        receipt = await mobiz.trigger("sandbox-trigger", ONE)
        left = {task for task in asyncio.all_tasks() - before if "mobiz" in task.get_name()}

    assert receipt.message_id is not None
    assert len(notes(error)) == 1
    assert error.__traceback__ is not None
    assert left == set()
    assert told.words == [("no_answer", 1, True), ("accepted", 1, True)]


async def test_the_traceback_of_a_cancelled_request_has_no_frames_of_aiohttp(told):
    async with (
        Sandbox(faults=Faults.script([Fault.HANG_AFTER_APPLY])) as sandbox,
        MobizClient("sandbox-api-key", "sandbox-subscription-key", base_url=sandbox.base_url) as mobiz,
    ):
        task = asyncio.create_task(mobiz.trigger("sandbox-trigger", ONE))
        await sandbox.until(lambda: sandbox.held)
        error = await cancelled(task)

    files, trace = set(), error.__traceback__
    while trace is not None:
        files.add(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    assert not any("aiohttp" in file for file in files)


# A resend that was asked for by name and did not come off


async def test_an_unknown_stays_unknown_when_its_resend_finds_no_server(told):
    fake = FakeTransport([timeout()], then=no_connection())
    async with client(fake, told, retry=RetryPolicy(max_attempts=2)) as mobiz:
        report = await mobiz.send_bulk("1", ["27821234567"], on_unknown=OnUnknown.RESEND)

    assert (report.unknown, report.not_sent) == (1, 0)
    assert isinstance(report.failures[0].error, OutcomeUnknownError)


async def test_an_unknown_stays_unknown_when_the_run_is_stopped_before_its_resend(told):
    clock = FakeClock()
    fake = FakeTransport([timeout()])
    options = {"on_unknown": OnUnknown.RESEND}
    async with client(fake, told, clock) as mobiz, mobiz.bulk("1", ["27821234567"], **options) as run:
        await clock.settle()
        run.stop()
        report = await run.finish()

    assert (report.unknown, report.not_sent, report.stopped) == (1, 0, StopReason.ASKED)
    assert report.failures[0].outcome is Outcome.UNKNOWN
    assert told.words == [("no_answer", 1, False), ("not_started", 1, True)]


async def test_an_unknown_that_was_sent_again_and_taken_is_accepted(told):
    fake = FakeTransport([timeout()])
    async with client(fake, told) as mobiz:
        report = await mobiz.send_bulk("1", ["27821234567"], on_unknown=OnUnknown.RESEND)

    assert (report.accepted, report.unknown) == (1, 0)
    assert told.words == [("no_answer", 1, False), ("accepted", 2, True)]
