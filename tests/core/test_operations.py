"""Trigger and schedule, one message each, against the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from fakes import Gate, Network, accepted, client_on, failed, replied, rows

from mobiz_async import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    EngagementNotFoundError,
    InvalidPayloadError,
    MissingFieldsError,
    MobizClient,
    NotSentError,
    OutcomeUnknownError,
    Pace,
    QuotaExceededError,
    RetryPolicy,
    ThrottledError,
)
from mobiz_async.sandbox import Fault, Faults, Quota, Sandbox
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Failure, Stage

TRIGGER = "sandbox-trigger"
THANDI = {"A": "27821234567", "B": "Thandi"}
DEFINITION = {"Number": "msisdn", "Message": "text", "ContactId": "numeric", "Contact_Email": "email"}
Make = Callable[..., MobizClient]


# TriggerMessage


async def test_a_trigger_is_accepted_with_its_id(client: MobizClient, sandbox: Sandbox) -> None:
    receipt = await client.trigger(TRIGGER, THANDI)

    assert (receipt.result_code, receipt.description, receipt.count, receipt.attributable) == (3, "Accepted", 1, True)
    assert [receipt.message_id] == [message.message_id for message in sandbox.messages]
    assert receipt.reference
    assert receipt.raw["Result_Code"] == 3


async def test_a_trigger_goes_out_as_the_vendor_has_it(client: MobizClient, sandbox: Sandbox) -> None:
    await client.trigger(TRIGGER, THANDI)

    (seen,) = sandbox.requests
    assert (seen.method, seen.path, dict(seen.query)) == ("POST", "/TriggerMessage/manual/paths/invoke", {})
    assert dict(sandbox.triggered()) == {"27821234567": 1}


@attrs.frozen
class Fields:
    A: str
    B: str


@pytest.mark.parametrize("fields", [THANDI, Fields("27821234567", "Thandi")])
async def test_a_trigger_takes_any_kind_of_record(client: MobizClient, sandbox: Sandbox, fields: Any) -> None:
    await client.trigger(TRIGGER, fields)

    assert dict(sandbox.triggered()) == {"27821234567": 1}


RESULTS = [
    ({"trigger_key": "nobody's"}, EngagementNotFoundError, 1, 404),
    ({"fields": {"B": "no number"}}, MissingFieldsError, 4, 400),
]


@pytest.mark.parametrize(("asked", "kind", "code", "status"), RESULTS)
async def test_a_result_code_is_an_exception_of_its_own(
    client, asked: dict, kind: type, code: int, status: int
) -> None:
    with pytest.raises(kind) as raised:
        await client.trigger(asked.get("trigger_key", TRIGGER), asked.get("fields", THANDI))

    assert (code, status, 1) == (raised.value.result_code, raised.value.status, raised.value.attempts)
    assert raised.value.operation == "TriggerMessage"
    assert raised.value.reference


async def test_a_refused_api_key_is_result_code_0(client_of: Make) -> None:
    async with Sandbox(api_key="another-key") as sandbox:
        with pytest.raises(AuthenticationError) as raised:
            await client_of(sandbox).trigger(TRIGGER, THANDI)

    assert raised.value.result_code == 0


async def test_result_code_2_is_an_invalid_payload_even_under_a_200(client: MobizClient, sandbox: Sandbox) -> None:
    sandbox.faults = Faults.always(Fault.REJECTED_200)

    with pytest.raises(InvalidPayloadError) as raised:
        await client.trigger(TRIGGER, THANDI)

    assert (raised.value.result_code, raised.value.status) == (2, 200)


@pytest.mark.parametrize("operation", ["trigger", "append", "create_list"])
async def test_a_refused_subscription_key_is_an_authentication_error(client_of: Make, operation: str) -> None:
    arguments = {"trigger": (TRIGGER, THANDI), "append": ("1", rows(1)), "create_list": ("Spring", DEFINITION)}
    async with Sandbox(subscription_key="another-key") as sandbox:
        with pytest.raises(AuthenticationError) as raised:
            await getattr(client_of(sandbox), operation)(*arguments[operation])

        assert (raised.value.status, raised.value.result_code, len(sandbox.requests)) == (401, None, 1)


async def test_an_empty_202_is_accepted_without_an_id(client_of: Make) -> None:
    async with Sandbox(empty_202=True) as sandbox:
        receipt = await client_of(sandbox).trigger(TRIGGER, THANDI)

    assert (receipt.message_id, receipt.result_code, receipt.attributable) == (None, None, False)


async def test_fields_of_a_reply_that_nobody_knows_are_kept() -> None:
    value = {"Result_Code": 3, "Message_Status": [{"Message_Id": "m", "Status": "S", "Network": "x"}], "Cost": 1}
    async with client_on(Network(lambda request, n: replied(200, value))) as client:
        receipt = await client.trigger(TRIGGER, THANDI)

    assert value == receipt.raw
    assert receipt.messages[0].extra == {"Network": "x"}


async def test_an_unknown_outcome_is_said_and_not_sent_again(client: MobizClient, sandbox: Sandbox) -> None:
    sandbox.faults = Faults.always(Fault.RESET_AFTER_APPLY)

    with pytest.raises(OutcomeUnknownError) as raised:
        await client.trigger(TRIGGER, THANDI)

    assert (raised.value.attempts, sandbox.applied_total, raised.value.status) == (1, 1, None)


async def test_a_gateways_activity_id_is_kept_to_quote_to_support(client: MobizClient, sandbox: Sandbox) -> None:
    sandbox.faults = Faults.always(Fault.ERROR_500_AFTER_APPLY)

    with pytest.raises(OutcomeUnknownError) as raised:
        await client.trigger(TRIGGER, THANDI)

    assert raised.value.reference == "0a1b2c3d-0000-4000-8000-5a6b7c8d9e0f"


async def test_what_was_throttled_goes_again_and_no_earlier_than_told() -> None:
    clock = FakeClock(auto=True)
    network = Network(lambda request, n: accepted(request) if n > 2 else replied(429, None, retry_after="5"))
    async with client_on(network, clock) as client:
        receipt = await client.trigger(TRIGGER, THANDI)

    assert receipt.message_id == "id-0"
    assert network.times[1] >= 5
    assert network.times[2] >= network.times[1] + 5


async def test_throttled_beyond_the_cap_is_an_error_at_once() -> None:
    network = Network(lambda request, n: replied(429, None, retry_after="7200"))
    async with client_on(network) as client:
        with pytest.raises(ThrottledError) as raised:
            await client.trigger(TRIGGER, THANDI)

    assert (raised.value.retry_after, network.count) == (7200.0, 1)


async def test_a_quota_that_is_used_up_says_until_when(client_of: Make) -> None:
    async with Sandbox(quota=Quota(1, 86_400)) as sandbox:
        client = client_of(sandbox)
        await client.trigger(TRIGGER, THANDI)
        with pytest.raises(QuotaExceededError) as raised:
            await client.trigger(TRIGGER, THANDI)

    assert 86_000 < raised.value.retry_after <= 86_400


async def test_a_server_that_cannot_be_reached_is_tried_up_to_max_attempts() -> None:
    network = Network(lambda request, n: failed(Stage.CONNECTING, Failure.CONNECT))
    async with client_on(network, retry=RetryPolicy(max_attempts=4)) as client:
        with pytest.raises(ConnectError) as raised:
            await client.trigger(TRIGGER, THANDI)

    assert (
        network.count,
        raised.value.attempts,
        str(raised.value),
    ) == (4, 4, "TriggerMessage: not sent (no connection could be made)")


async def test_a_deadline_bounds_attempts_and_waits_together() -> None:
    clock = FakeClock(auto=True)
    network = Network(lambda request, n: replied(429, None, retry_after="4"))
    async with client_on(network, clock, retry=RetryPolicy(deadline=10)) as client:
        with pytest.raises(ThrottledError):
            await client.trigger(TRIGGER, THANDI)

    assert (network.count, clock.monotonic() <= 10) == (3, True)


async def test_a_trigger_that_waits_in_our_own_queue_beyond_the_deadline_was_not_sent() -> None:
    gate = Gate()
    clock = FakeClock()
    network = Network(lambda request, n: gate.passed(accepted(request)))
    async with client_on(network, clock, retry=RetryPolicy(deadline=10), pace=Pace(single_concurrency=1)) as client:
        first = asyncio.create_task(client.trigger(TRIGGER, THANDI))
        await gate.until_waiting(1)
        second = asyncio.create_task(client.trigger(TRIGGER, THANDI))
        await clock.advance(11)
        with pytest.raises(NotSentError, match="deadline passed before it was sent"):
            await second
        gate.open.set()
        await first

    assert network.count == 1


@pytest.mark.parametrize("key", ["", "  ", None, 5, b"key", "key\ud83d"])
async def test_a_trigger_key_that_is_none_is_refused_before_anything_is_sent(key: Any) -> None:
    network = Network()
    async with client_on(network) as client:
        for call in (
            client.trigger(key, THANDI),
            client.schedule(key, THANDI, send_time="later"),
            client.trigger_many(key, [THANDI]),
            client.schedule_many(key, [THANDI], send_time="later"),
        ):
            with pytest.raises(ConfigurationError, match="trigger key"):
                await call

    assert network.count == 0


async def test_a_cancelled_trigger_says_that_it_may_have_gone_out() -> None:
    gate = Gate()
    async with client_on(Network(lambda request, n: gate.passed(accepted(request)))) as client:
        task = asyncio.create_task(client.trigger(TRIGGER, THANDI))
        await gate.until_waiting(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await task

    assert "its outcome is unknown" in raised.value.__notes__[0]


# Schedule Message


async def test_a_scheduled_message_carries_its_time(client: MobizClient, sandbox: Sandbox) -> None:
    when = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)

    receipt = await client.schedule(TRIGGER, THANDI, send_time=when)

    assert [(receipt.message_id, str(int(when.timestamp())))] == [(m.message_id, m.send_time) for m in sandbox.messages]
    assert set(sandbox.requests[0].query) == {"send_time"}


@pytest.mark.parametrize(
    ("form", "expected"),
    [("unix", "1800000000"), ("iso8601", "2027-01-15T08:00:00Z"), (lambda when: f"{when:%Y/%m/%d}", "2027/01/15")],
)
async def test_the_format_of_send_time_is_the_clients(form: Any, expected: str) -> None:
    network = Network()
    async with client_on(network, FakeClock(auto=True, wall=1_700_000_000), send_time_format=form) as client:
        when = datetime.fromtimestamp(1_800_000_000, UTC)
        await client.schedule(TRIGGER, THANDI, send_time=when)
        await client.schedule_many(TRIGGER, [THANDI], send_time=when)

    assert [expected] * 2 == [post.query["send_time"] for post in network.posts]


@pytest.mark.parametrize("when", [datetime(2099, 1, 1), datetime(2020, 1, 1, tzinfo=UTC), "", None])  # noqa: DTZ001  a naive one is the point
async def test_a_time_that_is_naive_or_past_is_refused_before_anything_is_sent(when: Any) -> None:
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(ConfigurationError, match="send_time"):
            await client.schedule(TRIGGER, THANDI, send_time=when)
        with pytest.raises(ConfigurationError, match="send_time"):
            await client.schedule_many(TRIGGER, [THANDI], send_time=when)

    assert network.count == 0


async def test_a_scheduled_message_is_refused_under_its_own_name(client: MobizClient) -> None:
    with pytest.raises(MissingFieldsError, match=r"^ScheduleMessage: rejected") as raised:
        await client.schedule(TRIGGER, THANDI, send_time="yesterday")

    assert raised.value.operation == "ScheduleMessage"
