"""The life of a client: settings, loops, processes, closing."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
from broken import Peer, serving
from fakes import Gate, Network, accepted, client_on, numbers, replied, rows

from mobiz_async import (
    BulkReport,
    ConfigurationError,
    MobizClient,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    Pace,
    RequestError,
    Secret,
    StopReason,
    TriggerReport,
)
from mobiz_async.sandbox import Fault, Faults, Injection, Sandbox

TRIGGER = "sandbox-trigger"
THANDI = {"A": "27821234567", "B": "Thandi"}
DEFINITION = {"Number": "msisdn", "Message": "text", "ContactId": "numeric", "Contact_Email": "email"}
Make = Callable[..., MobizClient]


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


@pytest.mark.parametrize("no_text", [b"key", 7, ["key"]])
def test_a_key_that_is_no_text_is_refused(no_text: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"MOBIZ_SUBSCRIPTION_KEY\) is no text"):
        MobizClient("a", no_text)


@pytest.mark.parametrize(
    ("variable", "given"),
    [
        ("MOBIZ_API_KEY", {"api_key": "", "subscription_key": "s"}),
        ("MOBIZ_SUBSCRIPTION_KEY", {"api_key": "a", "subscription_key": ""}),
        ("MOBIZ_BASE_URL", {"api_key": "a", "subscription_key": "s", "base_url": ""}),
    ],
)
def test_what_is_given_and_empty_is_not_taken_from_elsewhere(
    monkeypatch: pytest.MonkeyPatch, variable: str, given: dict
) -> None:
    """It would send for another account, or to the vendor instead of the sandbox whose address was left empty."""
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=variable):
        MobizClient(**given)


async def test_an_owner_that_is_given_and_empty_is_not_taken_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBIZ_USERNAME", "env-user")
    network = Network()
    async with MobizClient(transport=network) as client:
        with pytest.raises(ConfigurationError, match="MOBIZ_USERNAME"):
            await client.create_list("Spring", DEFINITION, username="")

    assert network.count == 0


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


async def test_plain_http_elsewhere_may_be_asked_for_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBIZ_ALLOW_INSECURE", "1")

    assert "open" in repr(MobizClient("a", "s", base_url="http://10.0.0.1"))


@pytest.mark.parametrize("value", ["", "0", "no"])
async def test_plain_http_elsewhere_is_not_asked_for_by_anything(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MOBIZ_ALLOW_INSECURE", value)

    with pytest.raises(ConfigurationError, match="MOBIZ_ALLOW_INSECURE=1"):
        MobizClient("a", "s", base_url="http://10.0.0.1")


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


@pytest.mark.parametrize("call", [*CALLS, "aclose", "__aenter__"])
def test_use_without_asyncio_is_a_clear_error(call: str) -> None:
    """Such as under trio, which runs a coroutine as this test does: by ``send``."""
    client = client_on(Network())
    begun = CALLS[call](client) if call in CALLS else getattr(client, call)()

    with pytest.raises(RuntimeError, match="runs on asyncio") as caught:
        begun.send(None)
    assert caught.value.__suppress_context__


async def test_closing_from_another_loop_is_a_clear_error_and_leaves_the_client_open(
    sandbox: Sandbox, client_of: Make
) -> None:
    client = client_of(sandbox)
    await client.trigger(TRIGGER, THANDI)

    with pytest.raises(RuntimeError, match="from another event loop than it is used in: close it there"):
        await asyncio.to_thread(asyncio.run, client.aclose())

    assert (await client.trigger(TRIGGER, THANDI)).result_code == 3


async def test_entering_a_closed_client_is_a_clear_error() -> None:
    client = client_on(Network())
    await client.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        await client.__aenter__()


def leave_open() -> None:
    client = client_on(Network())
    asyncio.run(client.trigger("key", THANDI))
    del client
    gc.collect()


def test_a_client_left_open_warns() -> None:
    with pytest.warns(ResourceWarning, match="unclosed <MobizClient"):
        leave_open()


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
    client = client_on(network)
    task = asyncio.create_task(client.trigger("key", THANDI))
    await gate.until_waiting(1)

    await asyncio.wait_for(client.__aexit__(KeyError, KeyError(), None), 10)

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


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_an_event_hook_that_raises_changes_nothing(error: type, caplog: pytest.LogCaptureFixture) -> None:
    """Also the ``CancelledError`` of a future that it asked for its result."""

    def hook(event: Any) -> None:
        raise error("27821234567")

    async with client_on(Network(), events=[hook]) as client:
        receipt = await client.trigger("key", THANDI)
        bulk = await client.send_bulk("1", [THANDI | {"Number": "27821234567"}])
        many = await client.trigger_many("key", [THANDI])

    assert (receipt.message_id, bulk.accepted, many.accepted) == ("id-0", 1, 1)
    assert [record.getMessage() for record in caplog.records] == [f"an event hook raised {error.__name__}"] * 3


@pytest.fixture
def broken_logging(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Logging whose filter raises at each line; what it was given is in the list."""
    given: list[str] = []

    def refuse(record: logging.LogRecord) -> bool:
        given.append(record.getMessage())
        raise OSError("27821234567")

    caplog.set_level(logging.DEBUG, logger="mobiz_async")
    monkeypatch.setattr(logging.getLogger("mobiz_async"), "filters", [refuse])
    return given


async def test_logging_that_raises_changes_nothing_of_what_is_reported(broken_logging: list[str]) -> None:
    """Else who sent a message would get the filter's error in place of the receipt, and send it again."""

    def hook(event: Any) -> None:
        raise ValueError

    async with client_on(Network(), events=[hook]) as client:
        receipt = await client.trigger("key", THANDI)
        bulk = await client.send_bulk("1", [THANDI | {"Number": "27821234567"}])

    assert (receipt.message_id, bulk.accepted, bulk.unknown) == ("id-0", 1, 0)
    assert [line.split(":")[0] for line in broken_logging] == [
        "TriggerMessage",
        "an event hook raised ValueError",
        "SendBulkMessages",
        "an event hook raised ValueError",
    ]


async def test_logging_that_raises_breaks_no_closing(broken_logging: list[str]) -> None:
    begun = asyncio.Event()

    def source() -> Iterator[Any]:
        begun.set()  # of a generator that was never begun, no block is run as it is closed
        try:
            yield from [THANDI | {"Number": f"2782{n:07}"} for n in range(1000)]
        finally:
            raise ValueError

    async def fail() -> None:
        await begun.wait()
        raise ZeroDivisionError

    async with client_on(Network()) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.bulk("1", source(), chunk_size=1):
                await fail()
        async with client.coalesce("key", max_wait=60, close_timeout=0) as pins:
            waiting = asyncio.create_task(pins.send(THANDI))
            await asyncio.sleep(0)
        with pytest.raises(RequestError):
            await waiting

    assert "the source of records raised ValueError as it was closed" in broken_logging
    assert "coalescer closed with 1 records not sent and 0 unknown" in broken_logging


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"retry": 3}, "retry must be a RetryPolicy"),
        ({"timeouts": 30}, "timeouts must be a Timeouts"),
        ({"timeouts": None}, "timeouts must be a Timeouts"),
        ({"pace": 5}, "pace must be a Pace"),
    ],
)
async def test_a_bare_number_in_the_place_of_settings_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        client_on(Network(), **settings)


async def test_a_hook_that_nobody_would_await_is_refused_as_it_is_handed_in() -> None:
    async def hook(event: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="events takes plain functions"):
        client_on(Network(), events=[print, hook])


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_what_ends_the_program_is_not_held_back_by_a_hook(error: type[BaseException]) -> None:
    def hook(event: Any) -> None:
        raise error

    async with client_on(Network(), events=[hook]) as client:
        with pytest.raises(error):
            await client.trigger("key", THANDI)


async def test_a_slow_answer_is_waited_for(client: MobizClient, sandbox: Sandbox) -> None:
    sandbox.faults = Faults.always(Injection(Fault.SLOW_ANSWER, delay=1000))
    task = asyncio.create_task(client.trigger(TRIGGER, THANDI))
    await sandbox.until(lambda: sandbox.held == 1)
    sandbox.release()

    assert (await task).message_id
