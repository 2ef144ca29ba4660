"""The client: the four operations against the sandbox, and the life of a client."""

from __future__ import annotations

import asyncio
import gc
import os
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import attrs
import pytest
from broken import Peer, serving
from fakes import Gate, Network, accepted, client_on, failed, numbers, replied, rows

from mobiz_async import (
    AppendReceipt,
    AuthenticationError,
    BulkReport,
    ConfigurationError,
    ConnectError,
    DataList,
    EngagementNotFoundError,
    InvalidPayloadError,
    InvalidRecordError,
    MissingFieldsError,
    MobizClient,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    Pace,
    QuotaExceededError,
    RejectedError,
    RetryPolicy,
    Secret,
    SourceError,
    StopReason,
    ThrottledError,
    TriggerReport,
)
from mobiz_async.sandbox import Fault, Faults, Injection, Quota, Sandbox
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


@pytest.mark.parametrize("key", ["", "  ", None, 5])
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
    with pytest.raises(MissingFieldsError, match="^ScheduleMessage: rejected") as raised:
        await client.schedule(TRIGGER, THANDI, send_time="yesterday")

    assert raised.value.operation == "ScheduleMessage"


# Creating a Data List


async def test_a_list_is_created_and_can_be_sent_to(client: MobizClient, sandbox: Sandbox) -> None:
    contacts = await client.create_list("Spring", DEFINITION)
    report = await client.send_bulk(contacts, numbers(3))

    assert (contacts.name, contacts.definition) == ("Spring", DEFINITION)
    assert sandbox.lists[contacts.id].definition == DEFINITION
    assert (report.accepted, len(sandbox.applied(contacts))) == (3, 3)
    assert sandbox.requests[0].query == {"username": "sandbox-user"}


async def test_the_username_may_be_given_with_the_call(client: MobizClient) -> None:
    with pytest.raises(InvalidPayloadError):
        await client.create_list("Spring", DEFINITION, username="somebody-else")


async def test_creating_a_list_needs_a_username(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(ConfigurationError, match="MOBIZ_USERNAME"):
            await client.create_list("Spring", DEFINITION)

    assert network.count == 0


async def test_a_format_the_vendor_does_not_name_is_refused_before_anything_is_sent() -> None:
    network = Network()
    async with client_on(network, username="me") as client:
        with pytest.raises(ConfigurationError, match="numeric, text, email, msisdn"):
            await client.create_list("Spring", {"Number": "phone"})

    assert network.count == 0


async def test_a_status_other_than_1_is_a_rejection() -> None:
    network = Network(lambda request, n: replied(200, {"status": 0, "message": "name taken"}))
    async with client_on(network, username="me") as client:
        with pytest.raises(RejectedError, match="name taken") as raised:
            await client.create_list("Spring", DEFINITION)

    assert (raised.value.result_code, network.count) == (0, 1)


async def test_a_list_whose_creation_is_unknown_is_not_created_again() -> None:
    network = Network(lambda request, n: replied(200, {"status": 1, "message": "List Created"}))
    async with client_on(network, username="me") as client:
        with pytest.raises(OutcomeUnknownError):
            await client.create_list("Spring", DEFINITION)

    assert network.count == 1


# SendBulkMessages, one request


async def test_an_append_is_one_request(client: MobizClient, sandbox: Sandbox) -> None:
    receipt = await client.append("1", rows(25))

    assert receipt == AppendReceipt(25, "Data Appended", {"status": 1, "message": "Data Appended"})
    assert [(seen.records, dict(seen.query)) for seen in sandbox.requests] == [(25, {"list_id": "1"})]


async def test_an_append_of_10_000_is_one_request() -> None:
    network = Network()
    async with client_on(network) as client:
        assert (await client.append(1, numbers(10_000))).count == 10_000

    assert [post.records for post in network.posts] == [10_000]


async def test_an_append_of_more_is_refused_before_anything_is_sent() -> None:
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(ConfigurationError, match="at most 10,000"):
            await client.append(1, numbers(10_001))

    assert network.count == 0


async def test_an_append_of_nothing_is_no_request() -> None:
    network = Network()
    async with client_on(network) as client:
        assert await client.append(1, []) == AppendReceipt(0)

    assert network.count == 0


async def test_an_append_with_a_bad_record_sends_none_and_closes_its_source() -> None:
    closed = []

    def source() -> Any:
        try:
            yield from [*rows(3), {"Message": "no number"}, *rows(3)]
        finally:
            closed.append(True)

    network = Network()
    async with client_on(network) as client:
        with pytest.raises(InvalidRecordError) as raised:
            await client.append(1, source())

    assert (raised.value.row, raised.value.field, network.count, closed) == (4, "Number", 0, [True])


async def test_an_append_whose_source_raises_sends_nothing() -> None:
    def source() -> Any:
        yield rows(1)[0]
        raise ValueError

    network = Network()
    async with client_on(network) as client:
        with pytest.raises(SourceError) as raised:
            await client.append(1, source())

    assert (raised.value.row, network.count) == (2, 0)


async def test_an_append_takes_the_number_field_of_the_list_or_the_call() -> None:
    network = Network()
    async with client_on(network) as client:
        await client.append(DataList(5, "Spring", {"Cell": "msisdn"}), numbers(1))
        await client.append(5, numbers(1), number_field="Phone")

    assert network.bodies == [[{"Cell": "27820000000"}], [{"Phone": "27820000000"}]]


@pytest.mark.parametrize("contacts", ["", None, 1.5])
async def test_a_list_that_is_none_is_refused_before_anything_is_sent(contacts: Any) -> None:
    network = Network()
    async with client_on(network) as client:
        with pytest.raises(ConfigurationError, match="list id"):
            await client.append(contacts, rows(1))
        with pytest.raises(ConfigurationError, match="list id"):
            await client.send_bulk(contacts, rows(1))

    assert network.count == 0


# The life of a client


@pytest.mark.parametrize(
    ("given", "variable"),
    [({"subscription_key": "s"}, "MOBIZ_API_KEY"), ({"api_key": "a"}, "MOBIZ_SUBSCRIPTION_KEY")],
)
def test_a_missing_key_is_an_error_that_names_its_variable(given: dict, variable: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        MobizClient(**given)


@pytest.mark.parametrize("empty", ["", Secret("")])
def test_an_empty_key_is_a_missing_one(empty: Any) -> None:
    with pytest.raises(ConfigurationError, match="MOBIZ_API_KEY"):
        MobizClient(empty, "s")


@pytest.mark.parametrize("key", ["key\n", " key", "k\ney", "k\x00ey"])
def test_a_key_with_a_line_break_is_refused_before_anything_is_sent(key: str) -> None:
    """As from a file that was read whole. A header could not carry it, and no word of the server's would explain it."""
    with pytest.raises(ConfigurationError, match="subscription_key") as raised:
        MobizClient("api", key)

    assert key not in str(raised.value)


async def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer("200 OK", b'{"status": 1, "list_id": 5}')

    async with serving(script) as seen:
        monkeypatch.setenv("MOBIZ_API_KEY", "env-api-key")
        monkeypatch.setenv("MOBIZ_SUBSCRIPTION_KEY", "env-subscription-key")
        monkeypatch.setenv("MOBIZ_USERNAME", "env-user")
        monkeypatch.setenv("MOBIZ_BASE_URL", seen.url)
        async with MobizClient() as client:
            contacts = await client.create_list("Spring", DEFINITION)

    head = seen.requests[0][0]
    assert contacts.id == "5"
    assert b"username=env-user&api_key=env-api-key " in head
    assert b"Ocp-Apim-Subscription-Key: env-subscription-key\r\n" in head


async def test_what_is_given_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBIZ_BASE_URL", "http://example.com")

    assert "127.0.0.1" in repr(MobizClient("a", Secret("s"), base_url="http://127.0.0.1:9"))


@pytest.mark.parametrize("url", ["http://api.mobiz.co", "ftp://x", "nonsense"])
async def test_an_address_that_will_not_do_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        MobizClient("a", "s", base_url=url)


async def test_plain_http_elsewhere_has_to_be_asked_for_by_name() -> None:
    assert "open" in repr(MobizClient("a", "s", base_url="http://10.0.0.1", allow_insecure=True))


async def test_a_session_and_a_transport_exclude_each_other() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigurationError, match="exclude each other"):
            MobizClient(session=session, transport=Network())


async def test_a_transport_of_ones_own_needs_no_keys() -> None:
    async with MobizClient(transport=Network()) as client:
        assert (await client.trigger("key", THANDI)).message_id == "id-0"


async def test_making_a_client_opens_nothing() -> None:
    network = Network()
    client = client_on(network)
    await client.aclose()

    assert (network.count, network.closed) == (0, 1)


async def test_closing_twice_is_fine(client: MobizClient) -> None:
    await client.trigger(TRIGGER, THANDI)
    await client.aclose()
    await client.aclose()

    assert "closed" in repr(client)


CALLS: dict[str, Callable[[MobizClient], Any]] = {
    "trigger": lambda client: client.trigger("key", THANDI),
    "trigger_many": lambda client: client.trigger_many("key", [THANDI]),
    "schedule": lambda client: client.schedule("key", THANDI, send_time="later"),
    "schedule_many": lambda client: client.schedule_many("key", [THANDI], send_time="later"),
    "create_list": lambda client: client.create_list("Spring", DEFINITION, username="me"),
    "append": lambda client: client.append("1", rows(1)),
    "send_bulk": lambda client: client.send_bulk("1", rows(1)),
    "bulk": lambda client: client.bulk("1", rows(1)).__aenter__(),
}


@pytest.mark.parametrize("call", CALLS)
async def test_use_after_closing_is_a_clear_error(call: str) -> None:
    client = client_on(Network())
    await client.aclose()

    with pytest.raises(RuntimeError, match="this client is closed"):
        await CALLS[call](client)


@pytest.mark.parametrize("call", CALLS)
async def test_use_after_a_fork_is_a_clear_error(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with client_on(Network()) as client:
        with monkeypatch.context() as patched:
            patched.setattr(os, "getpid", lambda: -1)
            with pytest.raises(RuntimeError, match="made in another process"):
                await CALLS[call](client)


def test_use_from_another_loop_is_a_clear_error() -> None:
    client = client_on(Network())
    asyncio.run(client.trigger("key", THANDI))

    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(client.trigger("key", THANDI))
    asyncio.run(client.aclose())


async def test_entering_a_closed_client_is_a_clear_error() -> None:
    client = client_on(Network())
    await client.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        await client.__aenter__()


def test_a_client_left_open_warns() -> None:
    client = client_on(Network())
    asyncio.run(client.trigger("key", THANDI))

    with pytest.warns(ResourceWarning, match="unclosed <MobizClient"):
        del client
        gc.collect()


def test_a_client_never_used_or_never_made_does_not_warn() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client_on(Network())
        with pytest.raises(ConfigurationError):
            MobizClient()
        gc.collect()

    assert [warning for warning in caught if "MobizClient" in str(warning.message)] == []


async def test_an_injected_session_outlives_the_client(sandbox: Sandbox, client_of: Make) -> None:
    async with aiohttp.ClientSession() as session:
        async with client_of(sandbox, session=session) as client:
            await client.trigger(TRIGGER, THANDI)

        assert not session.closed


async def test_closing_lets_what_is_in_flight_end() -> None:
    gate = Gate()
    network = Network(lambda request, n: gate.passed(accepted(request)))
    client = client_on(network)
    task = asyncio.create_task(client.trigger("key", THANDI))
    await gate.until_waiting(1)
    closing = asyncio.create_task(client.aclose())
    await asyncio.sleep(0)

    assert (closing.done(), network.closed) == (False, 0)

    gate.open.set()
    await closing
    assert ((await task).message_id, network.closed) == ("id-0", 1)


async def test_closing_cuts_off_what_does_not_end_in_time(sandbox: Sandbox, client_of: Make) -> None:
    """What was in flight is unknown, what was in the queue was not sent; neither is an error of another kind."""
    sandbox.faults = Faults.always(Fault.HANG_AFTER_APPLY)
    client = client_of(sandbox, pace=Pace(single_concurrency=1))
    first = asyncio.create_task(client.trigger(TRIGGER, THANDI))
    await sandbox.until(lambda: sandbox.held == 1)
    second = asyncio.create_task(client.trigger(TRIGGER, THANDI))
    await asyncio.sleep(0)
    await client.aclose(timeout=0.0)

    results = await asyncio.gather(first, second, return_exceptions=True)

    assert [OutcomeUnknownError, NotSentError] == [type(result) for result in results]
    assert len(sandbox.requests) == 1


async def test_closing_hides_no_batchs_ids(sandbox: Sandbox, client_of: Make) -> None:
    sandbox.faults = Faults.script([None, Fault.HANG_AFTER_APPLY])
    client = client_of(sandbox, pace=Pace(concurrency=1))
    rows_of_triggers = [{"A": number} for number in numbers(4)]
    task = asyncio.create_task(client.trigger_many(TRIGGER, rows_of_triggers, batch_size=1, concurrency=3))
    await sandbox.until(lambda: sandbox.held >= 1)
    await client.aclose(timeout=0.0)

    report = await task

    assert isinstance(report, TriggerReport)
    assert report.batches[0].outcome is Outcome.ACCEPTED
    assert Outcome.UNKNOWN in {batch.outcome for batch in report.batches}
    assert (4, report.unknown) == (report.read, report.read - report.accepted - report.not_sent)


async def test_closing_stops_a_bulk_run_and_finishes_what_is_in_flight() -> None:
    gate = Gate()
    network = Network(lambda request, n: accepted(request) if n == 1 else gate.passed(accepted(request)))
    client = client_on(network)
    task = asyncio.create_task(client.send_bulk("1", numbers(100), chunk_size=10, concurrency=2))
    await gate.until_waiting(2)
    closing = asyncio.create_task(client.aclose())
    await asyncio.sleep(0)
    gate.open.set()
    await closing

    report = await task

    assert isinstance(report, BulkReport)
    assert (report.accepted, network.count, report.stopped) == (30, 3, StopReason.ASKED)


async def test_a_close_that_is_cancelled_closes_all_the_same() -> None:
    gate = Gate()
    network = Network(lambda request, n: gate.passed(accepted(request)))
    client = client_on(network)
    task = asyncio.create_task(client.trigger("key", THANDI))
    await gate.until_waiting(1)
    closing = asyncio.create_task(client.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])

    assert (closing.cancelled(), network.closed) == (True, 1)
    gate.open.set()
    await task


async def test_leaving_the_block_by_an_error_waits_for_nothing() -> None:
    gate = Gate()
    network = Network(lambda request, n: gate.passed(accepted(request)))
    with pytest.raises(KeyError):
        async with client_on(network) as client:
            task = asyncio.create_task(client.trigger("key", THANDI))
            await gate.until_waiting(1)
            raise KeyError

    assert network.closed == 1
    task.cancel()
    await asyncio.wait([task])


async def test_one_client_serves_many_tasks(client: MobizClient, sandbox: Sandbox) -> None:
    receipts = await asyncio.gather(*(client.trigger(TRIGGER, {"A": number}) for number in numbers(50)))

    assert dict.fromkeys(numbers(50), 1) == dict(sandbox.triggered())
    assert len({receipt.message_id for receipt in receipts}) == 50


@pytest.mark.parametrize("settings", [{"concurrency": 0}, {"concurrency": -1}])
def test_a_concurrency_that_makes_no_sense_is_refused(settings: dict) -> None:
    with pytest.raises((ConfigurationError, ValueError), match="concurrency"):
        MobizClient("a", "s", **settings)


async def test_events_tell_of_every_attempt() -> None:
    events = []
    network = Network(lambda request, n: accepted(request) if n > 1 else replied(429, None, retry_after="1"))
    async with client_on(network, events=[events.append]) as client:
        await client.trigger("key", THANDI)

    assert [(e.verdict, e.status, e.attempt) for e in events] == [("throttled", 429, 1), ("accepted", 200, 2)]
    assert [("TriggerMessage", 1, len(network.posts[0].body))] * 2 == [
        (e.operation, e.records, e.bytes) for e in events
    ]


async def test_an_event_hook_that_raises_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def hook(event: Any) -> None:
        raise ValueError("27821234567")

    async with client_on(Network(), events=[hook]) as client:
        receipt = await client.trigger("key", THANDI)

    assert receipt.message_id == "id-0"
    assert [record.getMessage() for record in caplog.records] == ["an event hook raised ValueError"]


async def test_a_slow_answer_is_waited_for(client: MobizClient, sandbox: Sandbox) -> None:
    sandbox.faults = Faults.always(Injection(Fault.SLOW_ANSWER, delay=1000))
    task = asyncio.create_task(client.trigger(TRIGGER, THANDI))
    await sandbox.until(lambda: sandbox.held == 1)
    sandbox.release()

    assert (await task).message_id
