"""The fake accepts as documented, fails as told, and tells apart what was accepted from what was posted."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from mobiz_async import (
    AuthenticationError,
    ConnectError,
    InvalidPayloadError,
    MobizClient,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    QuotaExceededError,
    RetryPolicy,
    Secret,
    ThrottledError,
)
from mobiz_async.testing import (
    FakeClock,
    FakeTransport,
    Hold,
    Stage,
    accepted,
    json_reply,
    lost,
    no_connection,
    quota_exceeded,
    rejected,
    server_error,
    throttled,
    timeout,
    unauthorized,
)

ONE = {"A": "27821234567", "B": "Thandi"}


def client(fake, **settings):
    return MobizClient(transport=fake, clock=FakeClock(auto=True), **settings)


async def test_it_needs_no_keys_and_accepts_everything_as_documented():
    fake = FakeTransport()
    async with client(fake, username="me") as mobiz:
        single = await mobiz.trigger("spring", ONE)
        many = await mobiz.trigger_many("spring", [ONE, ONE, ONE], batch_size=2)
        contacts = await mobiz.create_list("Spring", {"Number": "msisdn"})
        appended = await mobiz.append(contacts, [{"Number": "27821234567"}])

    assert single.message_id == "message-1-1"
    assert many.message_ids == ("message-2-1", "message-2-2", "message-3-1")
    assert contacts.id == "142877"
    assert appended.count == 1
    assert fake.triggered("spring") == [ONE] * 4
    assert fake.records(contacts) == fake.records("142877") == fake.records(142877) == [{"Number": "27821234567"}]
    assert fake.records("another") == []


async def test_each_post_is_recorded_with_its_operation_query_and_decoded_records():
    fake = FakeTransport()
    async with client(fake) as mobiz:
        await mobiz.trigger("spring", ONE)
        await mobiz.append("7", ["27821234567", "27821234568"])

    assert [(posted.number, posted.operation, posted.query, posted.records) for posted in fake.requests] == [
        (1, "TriggerMessage", {"trigger_key": "spring"}, (ONE,)),
        (2, "SendBulkMessages", {"list_id": "7"}, ({"Number": "27821234567"}, {"Number": "27821234568"})),
    ]


async def test_what_it_records_does_not_show_recipients_when_printed():
    fake = FakeTransport()
    async with client(fake) as mobiz:
        await mobiz.trigger("spring", ONE)

    assert "27821234567" not in repr((fake, fake.requests))
    assert "spring" not in repr((fake, fake.requests))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (rejected(), InvalidPayloadError),
        (rejected(0), AuthenticationError),
        (unauthorized(), AuthenticationError),
        (throttled(None), ThrottledError),
        (quota_exceeded(), QuotaExceededError),
        (server_error(), OutcomeUnknownError),
        (server_error(504), OutcomeUnknownError),
        (no_connection(), ConnectError),
        (timeout(Stage.CONNECTING), ConnectError),
        (timeout(Stage.SENDING), OutcomeUnknownError),
        (timeout(), OutcomeUnknownError),
        (lost(), OutcomeUnknownError),
        (json_reply(200, {}), OutcomeUnknownError),
    ],
)
async def test_each_answer_ends_in_the_error_it_stands_for_and_nothing_counts_as_accepted(answer, error):
    fake = FakeTransport(then=answer)
    async with client(fake, retry=RetryPolicy(max_attempts=1)) as mobiz:
        with pytest.raises(error):
            await mobiz.trigger("spring", ONE)

    assert fake.triggered("spring") == []
    assert len(fake.requests) == 1


async def test_answers_are_given_in_order_and_what_follows_them_is_then():
    fake = FakeTransport([no_connection(), throttled(2)])
    async with client(fake) as mobiz:
        await mobiz.trigger("spring", ONE)

    assert len(fake.requests) == 3
    assert fake.triggered("spring") == [ONE]


async def test_an_answer_may_be_a_function_of_the_request_sync_or_async():
    async def later(posted):
        await asyncio.sleep(0)
        return accepted(posted)

    fake = FakeTransport(itertools.cycle([lambda posted: server_error(500 + posted.number), later]))
    async with client(fake) as mobiz:
        report = await mobiz.trigger_many("spring", [ONE, ONE], batch_size=1)

    assert [batch.outcome for batch in report.batches] == [Outcome.UNKNOWN, Outcome.ACCEPTED]
    assert report.batches[0].error.status == 501


async def test_a_script_that_raises_is_heard_by_the_test():
    def wrong(_):
        raise LookupError("a mistake in the script")

    async with client(FakeTransport(then=wrong)) as mobiz:
        with pytest.raises(LookupError):
            await mobiz.trigger("spring", ONE)


async def test_a_held_request_goes_on_when_it_is_released():
    fake = FakeTransport([Hold(), Hold(then=server_error())])
    async with client(fake) as mobiz:
        first = asyncio.create_task(mobiz.trigger("spring", ONE))
        await fake.until(lambda: fake.held == 1)
        second = asyncio.create_task(mobiz.trigger("spring", ONE))
        await fake.until(lambda: fake.held == 2)
        fake.release()

        assert (await first).message_id == "message-1-1"
        with pytest.raises(OutcomeUnknownError):
            await second
    assert fake.held == 0


@pytest.mark.parametrize(("stage", "unknown"), [(Stage.CONNECTING, False), (Stage.SENDING, True), (Stage.SENT, True)])
async def test_a_request_cancelled_while_held_is_cancelled_at_its_stage(stage, unknown):
    fake = FakeTransport(then=Hold(stage))
    async with client(fake) as mobiz:
        task = asyncio.create_task(mobiz.trigger("spring", ONE))
        await fake.until(lambda: fake.held)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task

    assert bool(getattr(caught.value, "__notes__", [])) is unknown


async def test_closing_loses_what_is_held_and_answers_nothing_more():
    fake = FakeTransport(then=Hold())
    mobiz = client(fake)
    task = asyncio.create_task(mobiz.trigger("spring", ONE))
    await fake.until(lambda: fake.held)
    await mobiz.aclose(timeout=0)
    await mobiz.aclose()

    with pytest.raises(OutcomeUnknownError):
        await task
    async with client(fake) as another:
        with pytest.raises(NotSentError, match="closed before it was sent"):
            await another.append("1", ["27821234567"])


async def test_settings_that_name_no_key_are_enough_for_the_fake_but_not_for_the_network(monkeypatch):
    for name in ("MOBIZ_API_KEY", "MOBIZ_SUBSCRIPTION_KEY"):
        monkeypatch.delenv(name, raising=False)

    assert "Secret" not in repr(MobizClient(transport=FakeTransport()))
    with pytest.raises(Exception, match="api_key"):
        MobizClient(subscription_key=Secret("x"))
