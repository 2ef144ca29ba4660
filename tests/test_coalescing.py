"""Many sends, few POSTs: who travels together, and what each caller hears of it."""

from __future__ import annotations

import asyncio
import math

import attrs
import pytest

from mobiz_async import MobizClient
from mobiz_async.coalescing import Coalescer, Leftover
from mobiz_async.errors import (
    ConfigurationError,
    InvalidRecordError,
    NotSentError,
    OutcomeUnknownError,
    Reason,
    RejectedError,
    RequestError,
    ThrottledError,
)
from mobiz_async.reports import MessageStatus, TriggerReceipt
from mobiz_async.testing import FakeClock, FakeTransport, throttled

FOREVER = 3600.0


def receipt(batch):
    return TriggerReceipt(
        reference="r", messages=tuple(MessageStatus(f"id-{fields['A']}") for fields in batch), count=len(batch)
    )


@attrs.define
class Server:
    """Notes each batch; answers at once, or when ``release`` is set."""

    release: asyncio.Event | None = None
    error: BaseException | None = None
    batches: list = attrs.field(factory=list)
    finished: int = 0

    async def post(self, batch):
        self.batches.append([fields["A"] for fields in batch])
        if self.release is not None:
            await self.release.wait()
        self.finished += 1
        if self.error is not None:
            raise self.error
        return receipt(batch)


def fields(count, start=0):
    return [{"A": str(number)} for number in range(start, start + count)]


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


async def sending(coalescer, records):
    tasks = [asyncio.create_task(coalescer.send(record)) for record in records]
    await turns()
    return tasks


async def heard(tasks):
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_arrives_together_travels_together_and_each_gets_its_own_id():
    server = Server()
    async with Coalescer(server.post, max_batch=4, max_wait=0.001) as otp:
        receipts = await asyncio.gather(*(otp.send(record) for record in fields(10)))
    assert [len(batch) for batch in server.batches] == [4, 4, 2]
    assert [each.message_id for each in receipts] == [f"id-{number}" for number in range(10)]


async def test_a_lonely_send_leaves_after_max_wait():
    server, loop = Server(), asyncio.get_running_loop()
    async with Coalescer(server.post, max_batch=100, max_wait=0.02) as otp:
        began = loop.time()
        await otp.send({"A": "1"})
        waited = loop.time() - began
    assert (server.batches, waited > 0.015) == ([["1"]], True)  # uvloop tells the time in milliseconds


async def test_a_full_batch_does_not_wait():
    server = Server()
    async with Coalescer(server.post, max_batch=2, max_wait=FOREVER) as otp:
        await asyncio.gather(*(otp.send(record) for record in fields(2)))
    assert server.batches == [["0", "1"]]


async def test_ids_that_cannot_be_attributed_go_to_nobody():
    async def post(_batch):
        return TriggerReceipt(reference="r", messages=(MessageStatus("only"),), count=2)

    async with Coalescer(post, max_batch=2, max_wait=FOREVER) as otp:
        receipts = await asyncio.gather(*(otp.send(record) for record in fields(2)))
    assert [(each.message_id, each.attributable, each.reference) for each in receipts] == [(None, False, "r")] * 2


async def test_a_receipt_of_another_count_attributes_nothing():
    async def post(_batch):
        return TriggerReceipt(messages=(MessageStatus("only"),), count=1)

    async with Coalescer(post, max_batch=3, max_wait=FOREVER) as otp:
        receipts = await asyncio.gather(*(otp.send(record) for record in fields(3)))
    assert [each.message_id for each in receipts] == [None] * 3


@pytest.mark.parametrize(
    "error",
    [
        RejectedError("no", status=400, result_code=2),
        ThrottledError("wait", status=429, retry_after=7.0),
        OutcomeUnknownError("who knows", attempts=1),
        RuntimeError("the client is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_each_caller_of_a_failed_batch_gets_a_copy_of_the_error_and_it_is_sent_once(error):
    server = Server(error=error)
    async with Coalescer(server.post, max_batch=3, max_wait=FOREVER) as otp:
        errors = await heard(await sending(otp, fields(3)))
    assert [(type(each), str(each), each.__dict__) for each in errors] == [
        (type(error), str(error), error.__dict__)
    ] * 3
    assert len({id(each) for each in (error, *errors)}) == 4
    assert len(server.batches) == 1


async def test_an_error_that_cannot_be_copied_still_reaches_everybody():
    class Stubborn(Exception):  # noqa: N818  only a test's
        def __init__(self, one, two):
            super().__init__("text")

    async with Coalescer(Server(error=Stubborn(1, 2)).post, max_batch=2, max_wait=FOREVER) as otp:
        errors = await heard(await sending(otp, fields(2)))
    assert [(type(each), "Stubborn" in str(each)) for each in errors] == [(OutcomeUnknownError, True)] * 2


async def test_a_bad_record_fails_alone():
    def prepare(held):
        record = next(held)
        if "A" not in record:
            raise InvalidRecordError(1, "A", Reason.MISSING)
        return record

    server = Server()
    async with Coalescer(server.post, max_batch=2, max_wait=FOREVER, prepare=prepare) as otp:
        answers = await heard(await sending(otp, [{"A": "1"}, {"B": "x"}, {"A": "2"}]))
    assert server.batches == [["1", "2"]]
    assert [type(answer) for answer in answers] == [TriggerReceipt, InvalidRecordError, TriggerReceipt]


async def test_a_caller_cancelled_before_its_batch_leaves_is_taken_out():
    server = Server()
    async with Coalescer(server.post, max_batch=3, max_wait=FOREVER) as otp:
        tasks = await sending(otp, fields(2))
        tasks[0].cancel()
        await turns()
        queued = otp.queued
        tasks += await sending(otp, fields(2, start=2))
        await heard(tasks)
    assert (queued, server.batches) == (1, [["1", "2", "3"]])


async def test_when_the_only_caller_is_cancelled_nothing_is_sent_and_no_timer_is_left():
    server = Server()
    async with Coalescer(server.post, max_wait=60) as otp:
        tasks = await sending(otp, fields(1))
        tasks[0].cancel()
        await heard(tasks)
        timer = otp._timer
    assert (timer, server.batches) == (None, [])


async def test_a_caller_cancelled_after_its_batch_left_does_not_stop_it():
    server = Server(release=asyncio.Event())
    async with Coalescer(server.post, max_batch=2, max_wait=FOREVER) as otp:
        tasks = await sending(otp, fields(2))
        tasks[0].cancel()
        await turns()
        server.release.set()
        answers = await heard(tasks)
    assert (server.batches, server.finished) == ([["0", "1"]], 1)
    assert (type(answers[0]), answers[1].message_id) == (asyncio.CancelledError, "id-1")


async def test_a_batch_whose_callers_are_all_cancelled_is_broken_off_and_another_takes_its_place():
    server = Server(release=asyncio.Event())
    async with Coalescer(server.post, max_batch=2, max_wait=FOREVER, max_batches_in_flight=1) as otp:
        tasks = await sending(otp, fields(4))
        for task in tasks[:2]:
            task.cancel()
        await turns()
        server.release.set()
        answers = await heard(tasks[2:])
    assert (server.batches, server.finished) == ([["0", "1"], ["2", "3"]], 1)
    assert [answer.message_id for answer in answers] == ["id-2", "id-3"]


async def test_codes_that_wait_out_a_pause_for_nobody_are_not_sent_when_it_is_over():
    """As with single triggers: who gave up waiting has asked for another code by then."""
    fake, clock = FakeTransport([throttled(retry_after=300)]), FakeClock()
    async with (
        MobizClient(transport=fake, clock=clock) as mobiz,
        mobiz.coalesce("key", max_batch=3, max_wait=FOREVER) as pins,
    ):
        tasks = await sending(pins, fields(3))
        await clock.settle()
        for task in tasks:
            task.cancel()
        await heard(tasks)
        await clock.advance(600)
        left = pins.batches_in_flight
    assert (len(fake.requests), fake.triggered("key"), left) == (1, [], 0)


async def test_no_more_batches_are_in_flight_than_allowed_and_what_waits_fills_up():
    server = Server(release=asyncio.Event())
    async with Coalescer(server.post, max_batch=2, max_wait=0, max_batches_in_flight=1) as otp:
        tasks = await sending(otp, fields(1)) + await sending(otp, fields(5, start=1))
        during = (otp.batches_in_flight, otp.queued, list(server.batches))
        server.release.set()
        await heard(tasks)
    assert during == (1, 5, [["0"]])
    assert server.batches[1:] == [["1", "2"], ["3", "4"], ["5"]]


async def test_with_a_full_queue_callers_wait_outside_and_are_served_in_order():
    server = Server(release=asyncio.Event())
    async with Coalescer(server.post, max_batch=2, max_wait=FOREVER, max_queue=3, max_batches_in_flight=1) as otp:
        tasks = await sending(otp, fields(10))
        during = (otp.batches_in_flight, otp.queued, otp.waiting_outside)
        server.release.set()
        answers = await heard(tasks)
    assert during == (1, 3, 5)
    assert [answer.message_id for answer in answers] == [f"id-{number}" for number in range(10)]
    assert [each for batch in server.batches for each in batch] == [str(number) for number in range(10)]


async def test_a_caller_cancelled_outside_is_not_sent_and_one_cancelled_inside_lets_another_in():
    server = Server(release=asyncio.Event())
    async with Coalescer(server.post, max_batch=1, max_queue=1, max_batches_in_flight=1) as otp:
        tasks = await sending(otp, fields(4))
        tasks[1].cancel()  # in the queue; 2 moves in from outside
        tasks[3].cancel()  # outside
        await turns()
        during = (otp.queued, otp.waiting_outside)
        server.release.set()
        await heard(tasks)
    assert (during, server.batches) == ((1, 0), [["0"], ["2"]])


async def test_with_on_full_fail_a_full_queue_refuses():
    server = Server(release=asyncio.Event())
    async with Coalescer(server.post, max_batch=1, max_queue=1, max_batches_in_flight=1, on_full="fail") as otp:
        tasks = await sending(otp, fields(2))
        with pytest.raises(NotSentError, match="full"):
            await otp.send({"A": "2"})
        server.release.set()
        await heard(tasks)
    assert server.batches == [["0"], ["1"]]


async def test_closing_sends_what_waits():
    server = Server()
    async with Coalescer(server.post, max_batch=2, max_queue=4, max_wait=FOREVER, max_batches_in_flight=1) as otp:
        tasks = await sending(otp, fields(7))
    answers = await heard(tasks)
    assert [answer.message_id for answer in answers] == [f"id-{number}" for number in range(7)]


async def test_closing_twice_is_fine_and_sending_afterwards_is_an_error():
    otp = Coalescer(Server().post)
    closed = [await otp.aclose(), await otp.aclose(1.0)]
    with pytest.raises(RuntimeError, match="closed"):
        await otp.send({"A": "1"})
    assert (closed, bool(closed[0])) == ([Leftover(), Leftover()], False)


@pytest.mark.parametrize("seconds", [0.0, 0.01])
async def test_a_close_that_runs_out_of_time_says_what_is_left_and_leaves_nobody_waiting(seconds, caplog):
    server = Server(release=asyncio.Event())
    otp = Coalescer(server.post, max_batch=2, max_wait=FOREVER, max_queue=3, max_batches_in_flight=1)
    tasks = await sending(otp, fields(10))
    left = await otp.aclose(seconds)
    answers = await heard(tasks)
    assert (left, bool(left)) == (Leftover(not_sent=8, unknown=2), True)
    assert [type(answer) for answer in answers] == [OutcomeUnknownError] * 2 + [NotSentError] * 8
    assert (server.batches, otp.batches_in_flight, len(asyncio.all_tasks())) == ([["0", "1"]], 0, 1)
    assert [(record.not_sent, record.unknown) for record in caplog.records] == [(8, 2)]


async def test_a_batch_that_never_had_a_turn_was_not_sent():
    server = Server()
    otp = Coalescer(server.post, max_wait=FOREVER)
    tasks = await sending(otp, fields(3))
    left = await otp.aclose(0.0)
    answers = await heard(tasks)
    assert (left, server.batches) == (Leftover(not_sent=3), [])
    assert [type(answer) for answer in answers] == [NotSentError] * 3


async def test_a_post_that_will_not_be_cancelled_does_not_hold_up_the_close(monkeypatch):
    monkeypatch.setattr("mobiz_async.coalescing._LAST_WORD", 0.01)
    end = asyncio.Event()

    async def post(batch):
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue
        return receipt(batch)

    otp = Coalescer(post, max_batch=1)
    tasks = await sending(otp, fields(1))
    left = await otp.aclose(0.0)
    answers = await heard(tasks)
    still = otp.batches_in_flight
    end.set()
    await turns()
    assert (left, type(answers[0]), still) == (Leftover(unknown=1), OutcomeUnknownError, 1)
    assert otp.batches_in_flight == 0


async def test_a_cancelled_close_leaves_nobody_waiting():
    server = Server(release=asyncio.Event())
    otp = Coalescer(server.post, max_batch=2, max_wait=FOREVER, max_batches_in_flight=1)
    tasks = await sending(otp, fields(3))
    closing = asyncio.create_task(otp.aclose())
    await turns()
    closing.cancel()
    answers = await heard([closing, *tasks])
    expected = [asyncio.CancelledError, OutcomeUnknownError, OutcomeUnknownError, NotSentError]
    assert [type(answer) for answer in answers] == expected


async def test_a_post_that_ends_as_cancelled_leaves_its_callers_with_an_unknown():
    server = Server(error=asyncio.CancelledError())
    async with Coalescer(server.post, max_batch=2, max_wait=FOREVER) as otp:
        answers = await heard(await sending(otp, fields(2)))
    assert [type(answer) for answer in answers] == [OutcomeUnknownError] * 2


async def test_an_error_in_the_body_of_the_context_still_sends_what_waits():
    server = Server()
    tasks = []

    async def body():
        async with Coalescer(server.post, max_wait=FOREVER) as otp:
            tasks.extend(await sending(otp, fields(2)))
            raise KeyError

    with pytest.raises(KeyError):
        await body()
    assert [answer.message_id for answer in await heard(tasks)] == ["id-0", "id-1"]


def test_another_event_loop_is_a_clear_error():
    otp = Coalescer(Server().post, max_wait=0)
    asyncio.run(otp.send({"A": "1"}))

    async def elsewhere():
        with pytest.raises(RuntimeError, match="another event loop"):
            await otp.send({"A": "2"})
        with pytest.raises(RuntimeError, match="another event loop"):
            await otp.aclose()

    asyncio.run(elsewhere())
    assert otp.batches_in_flight == 0


async def test_its_event_loop_is_the_one_of_its_block_and_not_of_whoever_sends_first():
    server = Server()
    async with Coalescer(server.post, max_wait=0) as otp:
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, otp.send({"A": "1"}))

        assert (await otp.send({"A": "2"})).message_id == "id-2"


async def test_ten_thousand_callers_each_get_their_own():
    server = Server()
    async with Coalescer(server.post, max_queue=1000) as otp:
        receipts = await asyncio.gather(*(otp.send(record) for record in fields(10_000)))
    assert [each.message_id for each in receipts] == [f"id-{number}" for number in range(10_000)]
    assert (len(server.batches), len(asyncio.all_tasks())) == (100, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"max_batch": 0},
        {"max_queue": 0},
        {"max_batches_in_flight": 0},
        {"max_wait": -1},
        {"max_wait": math.inf},
        {"on_full": "burst"},
        {"close_timeout": -1},
        {"close_timeout": "30"},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigurationError):
        Coalescer(Server().post, **options)


async def test_no_error_of_ours_holds_a_record():
    server = Server(release=asyncio.Event())
    otp = Coalescer(server.post, max_batch=1, max_batches_in_flight=1)
    tasks = await sending(otp, [{"A": "27821234567", "B": "secret text"}] * 2)
    await otp.aclose(0.0)
    shown = "".join(
        repr(answer) + str(vars(answer)) for answer in await heard(tasks) if isinstance(answer, RequestError)
    )
    assert ("27821234567" in shown, "secret" in shown, bool(shown)) == (False, False, True)


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12 brought eager tasks")
async def test_batches_may_be_eager_tasks():
    """They begin where they are made, which may be in the very context that they are to run in."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    async with Coalescer(Server().post, max_batch=2, max_wait=0.0) as otp:
        receipts = await asyncio.wait_for(asyncio.gather(*(otp.send({"A": str(n)}) for n in range(5))), 10)

    assert len({receipt.message_id for receipt in receipts}) == 5
