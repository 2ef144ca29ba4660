"""Neither keys nor recipients show: not in an exception, its causes, a traceback, a log, a repr, a pickle."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import inspect
import json
import logging
import operator
import os
import pickle
import re
import traceback
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import attrs
import pytest
from broken import Peer, serving
from fakes import numbers

import mobiz_async
from mobiz_async import (
    ChunkOutcome,
    ConfigurationError,
    InvalidRecordError,
    MobizClient,
    MobizError,
    Outcome,
    Reason,
    RetryPolicy,
    Secret,
    SourceError,
    Timeouts,
)
from mobiz_async.journal import Intent
from mobiz_async.models import Pace
from mobiz_async.recipients import (
    BadRecord,
    Problem,
    RejectsWriter,
    Staged,
    load_suppression,
    open_recipients,
    phones,
    preview,
    suppression_stage,
)
from mobiz_async.sandbox import Fault, Faults, LogEntry, Sandbox, SeenMessage

API_KEY = "k3yApi/+==9\\f"
SUBSCRIPTION_KEY = "k3ySubscription/+9f"
TRIGGER_KEY = "k3yTrigger/+9f"
KEYS = ("k3yApi", "k3ySubscription", "k3yTrigger")
NUMBER = "27829998877"
MESSAGE = "Meet Thandiwe at noon"
OURS = (str(Path(mobiz_async.__file__).parent), "<attrs generated")


@pytest.fixture
async def hidden() -> Any:
    async with Sandbox(api_key=API_KEY, subscription_key=SUBSCRIPTION_KEY, trigger_keys=[TRIGGER_KEY]) as sandbox:
        yield sandbox


def client_of(url: str, **settings: Any) -> MobizClient:
    settings = {
        "retry": RetryPolicy(max_attempts=2, base=0, throttle_base=0, max_retry_after=0),
        "timeouts": Timeouts(read=0.1, connect=5),
        "pace": Pace(concurrency=8, throttle_pause=0.0),
        **settings,
    }
    return MobizClient(API_KEY, SUBSCRIPTION_KEY, "sandbox-user", base_url=url, **settings)


async def coalesced(client: MobizClient, record: Any, **options: Any) -> Any:
    async with client.coalesce(TRIGGER_KEY, **options) as pins:
        return await pins.send(record)


OPERATIONS: dict[str, Callable[[MobizClient], Any]] = {
    "trigger": lambda client: client.trigger(TRIGGER_KEY, {"A": NUMBER, "E": MESSAGE}),
    "schedule": lambda client: client.schedule(TRIGGER_KEY, {"A": NUMBER, "E": MESSAGE}, send_time="2099-01-01"),
    "trigger_many": lambda client: client.trigger_many(TRIGGER_KEY, [{"A": NUMBER, "E": MESSAGE}]),
    "schedule_many": lambda client: client.schedule_many(TRIGGER_KEY, [{"A": NUMBER}], send_time="2099-01-01"),
    "coalesce": lambda client: coalesced(client, {"A": NUMBER, "E": MESSAGE}, close_timeout=0.0),
    "create_list": lambda client: client.create_list("Spring", {"Number": "msisdn"}),
    "append": lambda client: client.append("1", [{"Number": NUMBER, "Message": MESSAGE}]),
    "send_bulk": lambda client: client.send_bulk("1", [{"Number": NUMBER, "Message": MESSAGE}]),
}


def chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException | None] = [None]
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.append(one)
        assert one is not None
        yield one
        waiting += [one.__cause__, one.__context__]


def frames_of_ours(error: BaseException) -> str:
    """A traceback with the locals of our own frames, as error trackers send it, and what a line there says of them.

    Some (stackprinter, loguru, cgitb) read the source of a frame, and show ``chunk.body`` where it stands.
    """
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [f"{frame.name}: {frame.line} {frame.locals}" for frame in shown.stack if frame.filename.startswith(OURS)]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(OURS[0]):
            named = re.findall(r"\b(\w+)\.(\w+)\b", inspect.getsource(frame.f_code))
            held = ((name, getattr(frame.f_locals.get(name), attribute, None)) for name, attribute in named)
            frames += [f"{frame.f_code.co_name}: {name}. {value!r}" for name, value in held]
    return "\n".join(frames)


def everything_about(error: BaseException) -> str:
    shown = []
    for one in chain(error):
        shown += [str(one), repr(one), repr(one.args), repr(vars(one)), frames_of_ours(one)]
        shown += getattr(one, "__notes__", [])
        if isinstance(one, MobizError):
            shown.append(repr(pickle.dumps(one)))
    return "\n".join(shown)


def errors_in(result: Any) -> list[BaseException]:
    chunks = getattr(result, "failures", None) or getattr(result, "batches", ())
    return [chunk.error for chunk in chunks if chunk.error is not None]


def spellings(text: str) -> set[str]:
    return {text, quote(text), quote(text, safe=""), json.dumps(text)[1:-1]}


@attrs.define
class Watch:
    """Everything that was written anywhere while a test ran."""

    log: pytest.LogCaptureFixture
    warned: list[warnings.WarningMessage]
    events: list[Any] = attrs.field(factory=list)

    def written(self) -> str:
        records = [f"{record.getMessage()} {vars(record)}" for record in self.log.records]
        return "\n".join([*records, *(str(one.message) for one in self.warned), *map(repr, self.events)])


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Iterator[Watch]:
    caplog.set_level(logging.DEBUG)
    for name in ("aiohttp", "aiohttp.client", "asyncio", "mobiz_async", "tenacity"):
        caplog.set_level(logging.DEBUG, name)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield Watch(caplog, warned)


def assert_free(text: str, *, of: tuple[str, ...]) -> None:
    for secret in of:
        for spelling in spellings(secret):
            where = text.find(spelling)
            assert where < 0, f"... {text[max(0, where - 150) : where]} <here>"


async def outcome_of(call: Any) -> tuple[Any, BaseException | None]:
    try:
        return await call, None
    except BaseException as error:  # noqa: BLE001  whatever it is, it is looked at
        return None, error


@pytest.mark.parametrize("fault", [None, *Fault])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_nothing_shows_whatever_goes_wrong(hidden: Sandbox, watch: Watch, operation: str, fault) -> None:
    hidden.faults = Faults.always(fault)
    if fault is Fault.SLOW_ANSWER:
        hidden.faults = None
    async with client_of(hidden.base_url, events=[watch.events.append]) as client:
        result, error = await outcome_of(OPERATIONS[operation](client))
        shown = [repr(client), repr(client._deliverer), repr(result), repr(pickle.dumps(result)), watch.written()]

    if error is not None:
        assert isinstance(error, MobizError)
        shown.append(everything_about(error))
    shown += map(everything_about, errors_in(result))
    assert_free("\n".join(shown), of=(*KEYS, NUMBER, MESSAGE))
    assert watch.events


async def no_server(peer: Peer) -> None:
    raise AssertionError


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_nothing_shows_when_nobody_can_be_reached(watch: Watch, operation: str) -> None:
    async with serving(no_server) as seen:
        pass  # it was there, and is gone
    async with client_of(seen.url, events=[watch.events.append]) as client:
        result, error = await outcome_of(OPERATIONS[operation](client))

    shown = [repr(result), repr(pickle.dumps(result)), watch.written(), everything_about(error) if error else ""]
    assert_free("\n".join(shown), of=(*KEYS, NUMBER, MESSAGE))


@pytest.mark.parametrize("status", [200, 202, 302, 400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_nothing_shows_when_the_server_quotes_it_back(watch: Watch, operation: str, status: int) -> None:
    """A gateway's message that holds the whole request, as it came, in JSON, and with slashes escaped."""

    async def script(peer: Peer) -> None:
        while True:
            head, _ = await peer.request()
            url = head.split(b" ")[1].decode()
            said = f"Could not pass on {url} ({API_KEY}, {SUBSCRIPTION_KEY}) for {NUMBER} and +27 82 999 8877"
            value = {
                "message": said,
                "Result_Description": said,
                "Result_Code": 2,
                "status": 0,
                "activityId": API_KEY,
                "Reference": url,
                "error": {"message": said},
            }
            answer = json.dumps(value).replace("/", "\\/").encode()
            await peer.answer(f"{status} X", answer, f"Retry-After: {API_KEY}", f"Location: {url}")

    async with serving(script) as seen, client_of(seen.url, events=[watch.events.append]) as client:
        result, error = await outcome_of(OPERATIONS[operation](client))

    shown = [repr(result), repr(pickle.dumps(result)), watch.written(), everything_about(error) if error else ""]
    shown += map(everything_about, errors_in(result))
    assert_free("\n".join(shown), of=(*KEYS, NUMBER, "82 999 8877"))


async def head_and_silence(peer: Peer) -> None:
    await peer.request()
    await peer.answer("200 OK", b"", length=100)
    peer.seen.ended.set()
    await asyncio.Event().wait()


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_nothing_shows_when_it_is_cancelled(watch: Watch, operation: str) -> None:
    """Also while the answer is being read, when the frames hold the response, whose repr has the URL."""
    async with (
        serving(head_and_silence) as seen,
        client_of(seen.url, timeouts=Timeouts(), events=[watch.events.append]) as client,
    ):
        task = asyncio.create_task(OPERATIONS[operation](client))
        await seen.ended.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        _, error = await outcome_of(task)

    assert isinstance(error, asyncio.CancelledError)
    assert_free(watch.written(), of=(*KEYS, NUMBER, MESSAGE))
    assert_free(everything_about(error), of=KEYS)


async def test_nothing_shows_when_a_users_middleware_or_hook_raises(hidden: Sandbox, watch: Watch) -> None:
    async def middleware(request: Any, handler: Any) -> Any:
        response = await handler(request)
        raise ValueError(str(response.url))

    def hook(event: Any) -> None:
        raise ValueError(repr(event))

    async with (
        aiohttp.ClientSession(middlewares=[middleware]) as session,
        client_of(hidden.base_url, session=session, events=[hook]) as client,
    ):
        _, error = await outcome_of(OPERATIONS["trigger"](client))

    assert error is not None
    assert_free(everything_about(error) + watch.written(), of=(*KEYS, NUMBER, MESSAGE))


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "http://api.mobiz.co"},
        {"base_url": "nonsense"},
        {"subscription_key": ""},
        {"subscription_key": f"{SUBSCRIPTION_KEY}\n"},
        {"concurrency": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [str, Secret])
def test_no_key_shows_when_the_client_cannot_be_made(settings: dict, kind: type) -> None:
    given = {"subscription_key": SUBSCRIPTION_KEY, **settings}
    given["subscription_key"] = kind(given["subscription_key"])

    with pytest.raises((ConfigurationError, ValueError)) as raised:
        MobizClient(kind(API_KEY), **given)

    assert_free(everything_about(raised.value), of=KEYS)


def test_no_key_shows_in_a_client() -> None:
    client = MobizClient(API_KEY, SUBSCRIPTION_KEY)
    deliverer = client._deliverer

    assert_free(f"{client} {client!r} {deliverer!r} {deliverer.transport!r} {deliverer.transport}", of=KEYS)
    assert_free(repr(vars(client)), of=KEYS)


BAD: dict[str, Any] = {
    "no number": {"Message": MESSAGE, "Phone": NUMBER},
    "not a record": [NUMBER, MESSAGE],
    "NaN": {"Number": NUMBER, "Message": MESSAGE, "Amount": float("nan")},
    "bytes": {"Number": NUMBER, "Message": MESSAGE.encode()},
    "a key that is no text": {"Number": NUMBER, 5: MESSAGE},
    "a value that cannot be written": {"Number": NUMBER, "Message": MESSAGE + "\ud83d"},
    "too large": {"Number": NUMBER, "Message": MESSAGE * 100},
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("operation", ["send_bulk", "append", "trigger", "trigger_many", "coalesce"])
async def test_no_recipient_shows_when_a_record_is_refused(watch: Watch, operation: str, case: str) -> None:
    record = BAD[case]
    if operation.startswith(("trigger", "coalesce")) and case == "no number":
        record = [NUMBER, MESSAGE]
    calls = {
        "send_bulk": lambda client: client.send_bulk("1", [*numbers(3), record], max_chunk_bytes=200),
        "append": lambda client: client.append("1", [*numbers(3), record]),
        "trigger": lambda client: client.trigger(TRIGGER_KEY, record),
        "trigger_many": lambda client: client.trigger_many(TRIGGER_KEY, [record]),
        "coalesce": lambda client: coalesced(client, record),
    }
    if case == "too large" and operation != "send_bulk":
        record = None
    async with client_of("http://127.0.0.1:9", retry=RetryPolicy(max_attempts=1)) as client:
        _, error = await outcome_of(calls[operation](client))

    assert isinstance(error, InvalidRecordError)
    assert_free(everything_about(error) + watch.written(), of=(*KEYS, NUMBER, MESSAGE))


PAST = datetime(2020, 1, 1, tzinfo=UTC)
ONE_ROW = {"Number": NUMBER, "Message": MESSAGE}
BATCH = [{"A": NUMBER, "E": MESSAGE}]
REFUSALS: dict[str, Callable[[MobizClient], Any]] = {
    "trigger: key is none": lambda client: client.trigger(TRIGGER_KEY.encode(), BATCH[0]),
    "trigger: blank key": lambda client: client.trigger(" ", BATCH[0]),
    "schedule: past": lambda client: client.schedule(TRIGGER_KEY, BATCH[0], send_time=PAST),
    "schedule: naive": lambda client: client.schedule(TRIGGER_KEY, BATCH[0], send_time=PAST.replace(tzinfo=None)),
    "schedule: no time": lambda client: client.schedule(TRIGGER_KEY, BATCH[0], send_time=""),
    "schedule_many: past": lambda client: client.schedule_many(TRIGGER_KEY, BATCH, send_time=PAST),
    "trigger_many: batch_size": lambda client: client.trigger_many(TRIGGER_KEY, BATCH, batch_size=0),
    "trigger_many: blank key": lambda client: client.trigger_many("", BATCH),
    "trigger_many: one record": lambda client: client.trigger_many(TRIGGER_KEY, BATCH[0]),
    "trigger_many: a text": lambda client: client.trigger_many(TRIGGER_KEY, NUMBER),
    "coalesce: max_batch": lambda client: coalesced(client, BATCH[0], max_batch=0),
    "append: list id": lambda client: client.append(1.5, [ONE_ROW]),
    "append: one record": lambda client: client.append("1", ONE_ROW),
    "append: too many": lambda client: client.append("1", [ONE_ROW] * 10_001),
    "send_bulk: list id": lambda client: client.send_bulk("", [ONE_ROW]),
    "send_bulk: one record": lambda client: client.send_bulk("1", ONE_ROW),
    "send_bulk: chunk_size": lambda client: client.send_bulk("1", [ONE_ROW], chunk_size=0, common=ONE_ROW),
    "send_bulk: on_unknown": lambda client: client.send_bulk("1", [ONE_ROW], on_unknown=5, suppress=[NUMBER]),
    "send_bulk: no such option": lambda client: client.send_bulk("1", [ONE_ROW], nope=1, common=ONE_ROW),
    "send_bulk: common": lambda client: client.send_bulk("1", [NUMBER], common={**ONE_ROW, "x": object()}),
    "send_bulk: names of common": lambda client: client.send_bulk("1", [NUMBER], common={5: MESSAGE}),
    "send_bulk: suppress": lambda client: client.send_bulk("1", [ONE_ROW], suppress=NUMBER),
    "send_bulk: rows to suppress": lambda client: client.send_bulk("1", [ONE_ROW], suppress=[(NUMBER,)]),
    "send_bulk: suppress by number": lambda client: client.send_bulk("1", [ONE_ROW], suppress={NUMBER: "May"}),
    "send_bulk: region": lambda client: client.send_bulk("1", [ONE_ROW], region="nowhere", suppress=[NUMBER]),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_nothing_shows_when_a_call_is_refused(watch: Watch, case: str) -> None:
    async with client_of("http://127.0.0.1:9") as client:
        _, error = await outcome_of(REFUSALS[case](client))

    assert isinstance(error, (MobizError, TypeError))
    assert_free(everything_about(error) + watch.written(), of=(*KEYS, NUMBER, MESSAGE))


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_nothing_shows_when_the_client_is_closed(watch: Watch, operation: str) -> None:
    client = client_of("http://127.0.0.1:9")
    await client.aclose()
    _, error = await outcome_of(OPERATIONS[operation](client))

    assert isinstance(error, RuntimeError)
    assert_free(everything_about(error) + watch.written(), of=(*KEYS, NUMBER, MESSAGE))


@pytest.mark.parametrize("operation", ["send_bulk", "append", "trigger_many"])
async def test_no_recipient_shows_when_a_source_cannot_be_begun(watch: Watch, operation: str) -> None:
    """What a source of the caller's own raises keeps its own frames, and none of ours."""

    class Source:
        def __iter__(self) -> Iterator[Any]:
            raise LookupError("not today")

        def __repr__(self) -> str:
            return NUMBER

    async with client_of("http://127.0.0.1:9") as client:
        _, error = await outcome_of(getattr(client, operation)("1", Source()))

    assert isinstance(error, LookupError)
    assert "__iter__" in {frame.name for frame in traceback.extract_tb(error.__traceback__)}
    assert_free(everything_about(error) + watch.written(), of=(*KEYS, NUMBER))


@pytest.mark.parametrize("operation", ["send_bulk", "append", "trigger_many"])
async def test_no_recipient_shows_when_the_source_raises(watch: Watch, operation: str) -> None:
    """The source's own exception is the cause, as it was raised; of our frames in its traceback nothing shows."""

    def source() -> Iterator[Any]:
        yield {"Number": NUMBER, "Message": MESSAGE}
        raise ValueError("broken pipe")

    async with client_of("http://127.0.0.1:9") as client:
        arguments = ("1", source())
        _, error = await outcome_of(getattr(client, operation)(*arguments))

    assert isinstance(error, SourceError)
    assert isinstance(error.__cause__, ValueError)
    assert_free(everything_about(error) + watch.written(), of=(*KEYS, NUMBER, MESSAGE))


@pytest.mark.parametrize("operation", ["send_bulk", "append", "trigger_many"])
async def test_no_recipient_shows_when_a_source_takes_too_long(watch: Watch, operation: str) -> None:
    """The caller's ``TimeoutError`` has the cancellation for its cause, with all the frames that it passed."""
    waits = asyncio.Event()

    async def source() -> AsyncIterator[Any]:
        record = {"Number": NUMBER, "Message": MESSAGE}
        yield record
        del record
        waits.set()
        await asyncio.Event().wait()

    async def impatient(client: MobizClient) -> None:
        loop = asyncio.get_running_loop()
        arguments = ("1", source())
        async with asyncio.timeout(None) as patience:
            waiting = loop.create_task(waits.wait())
            waiting.add_done_callback(lambda _: patience.reschedule(loop.time()))
            await getattr(client, operation)(*arguments)

    async with client_of("http://127.0.0.1:9") as client:
        with pytest.raises(TimeoutError) as raised:
            await impatient(client)

    assert any(isinstance(one, asyncio.CancelledError) for one in chain(raised.value))
    assert_free(everything_about(raised.value) + watch.written(), of=(*KEYS, NUMBER, MESSAGE))


@attrs.define(repr=False)
class Detached:
    """A record whose fields are fetched when they are looked at, and can be no more."""

    Number: Any
    Message: Any = MESSAGE

    def __getattr__(self, name: str) -> Any:
        raise LookupError("detached")

    def __repr__(self) -> str:
        return f"{NUMBER} {MESSAGE}"


def detached() -> Detached:
    record = Detached(NUMBER)
    del record.Number
    return record


@pytest.mark.parametrize("before", [0, 300])
@pytest.mark.parametrize("operation", ["send_bulk", "append", "trigger_many"])
async def test_no_recipient_shows_when_a_record_raises(watch: Watch, operation: str, before: int) -> None:
    """As where the source does: of the frames of the cause those stay that are not ours."""
    records = [*(Detached(NUMBER) for _ in range(before)), detached()]
    async with client_of("http://127.0.0.1:9", retry=RetryPolicy(max_attempts=1)) as client:
        _, error = await outcome_of(getattr(client, operation)("1", records))

    assert isinstance(error, SourceError)
    assert error.__cause__ is not None
    assert [frame.name for frame in traceback.extract_tb(error.__cause__.__traceback__)] == ["__getattr__"]
    assert_free(everything_about(error) + watch.written(), of=(*KEYS, NUMBER, MESSAGE))


@pytest.mark.parametrize("operation", ["trigger", "coalesce"])
async def test_no_recipient_shows_when_a_trigger_raises(watch: Watch, operation: str) -> None:
    """There is no row to name and nothing has gone: its own exception says it all."""
    calls: dict[str, Callable[..., Any]] = {
        "trigger": lambda client: client.trigger(TRIGGER_KEY, detached()),
        "coalesce": lambda client: coalesced(client, detached()),
    }
    async with client_of("http://127.0.0.1:9") as client:
        _, error = await outcome_of(calls[operation](client))

    assert isinstance(error, LookupError)
    assert_free(everything_about(error) + watch.written(), of=(*KEYS, NUMBER, MESSAGE))


async def test_no_recipient_shows_when_a_record_raises_without_frames_of_its_own(watch: Watch) -> None:
    """One that is made in C, say. Then ours tell where it was, and hold nothing."""

    class Row(dict[str, Any]):
        keys = property(operator.itemgetter(0))  # called with the record, which has no such field

    async with client_of("http://127.0.0.1:9") as client:
        _, error = await outcome_of(client.send_bulk("1", [{"Number": NUMBER}, Row({"Number": NUMBER})]))

    assert isinstance(error, SourceError)
    assert error.__cause__ is not None
    assert traceback.extract_tb(error.__cause__.__traceback__)
    assert_free(everything_about(error) + watch.written(), of=(*KEYS, NUMBER))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_no_recipient_shows_when_a_file_of_rejects_cannot_be_written(tmp_path: Path) -> None:
    record = {"Number": NUMBER, "Message": MESSAGE}
    chunk = ChunkOutcome(0, 1, 1, Outcome.REJECTED, runs=((1, 1),), body=json.dumps([record]).encode())
    for write in (
        lambda rejects: rejects.write(record, row=1, reason="empty"),
        lambda rejects: rejects.write_problem(Problem(1, "Number", Reason.EMPTY, record)),
        lambda rejects: rejects.write_chunk(chunk),
    ):
        rejects = RejectsWriter(tmp_path / "rejects.csv", record, overwrite=True)
        with open("/dev/full", "wb") as full:  # noqa: PTH123  a device
            os.dup2(full.fileno(), rejects._file.fileno())
        with pytest.raises(OSError, match="No space left") as raised:
            write(rejects)
        with contextlib.suppress(OSError):
            rejects.close()
        assert_free("\n".join(map(frames_of_ours, chain(raised.value))), of=(NUMBER, MESSAGE))


def test_a_value_that_holds_recipients_shows_none_of_them() -> None:
    record = {"Number": NUMBER, "Message": MESSAGE}
    held = (
        Problem(1, "Number", Reason.EMPTY, record),
        BadRecord("Number", Reason.EMPTY, record),
        Staged([record], [1], []),
        Intent(0, 0, 1, ((1, 1),), "attempt", 0.0, json.dumps([record]).encode()),
        LogEntry(1, 0.0, "SendBulkMessages", "1", "", 1, NUMBER, NUMBER, None, (NUMBER,)),
        SeenMessage("id", NUMBER, TRIGGER_KEY, None, 1),
    )

    assert_free(repr(held), of=(*KEYS, NUMBER, MESSAGE))


_ROWS = f"Number,Message\n{NUMBER},{MESSAGE}\n".encode()
NO_TABLES = {
    "names a column twice": f"{NUMBER},{NUMBER}\n".encode(),
    "names none": f"{NUMBER},\n".encode(),
}
BROKEN_OFF = {
    "another encoding": _ROWS * 3 + f"{NUMBER},{MESSAGE}é\n".encode("cp1252"),
    "gzip": gzip.compress(_ROWS * 20)[:-9],
    "no end of a line": _ROWS + NUMBER.encode() * (1 << 18),
    "no end of quotes": _ROWS + f'{NUMBER},"{MESSAGE}\n'.encode(),
}
"""Files that begin well."""


@pytest.mark.parametrize("what", [*NO_TABLES, *BROKEN_OFF])
def test_no_recipient_shows_when_a_file_cannot_be_read(tmp_path: Path, what: str) -> None:
    path = tmp_path / "recipients.csv"
    path.write_bytes({**NO_TABLES, **BROKEN_OFF}[what])
    with pytest.raises(MobizError) as raised:
        list(open_recipients(path))

    assert_free(everything_about(raised.value), of=(NUMBER, MESSAGE))


@pytest.mark.parametrize("what", BROKEN_OFF)
@pytest.mark.parametrize("operation", ["send_bulk", "append", "trigger_many"])
async def test_no_recipient_shows_when_a_file_that_is_sent_breaks_off(
    tmp_path: Path, watch: Watch, operation: str, what: str
) -> None:
    path = tmp_path / "recipients.csv"
    path.write_bytes(BROKEN_OFF[what])
    async with client_of("http://127.0.0.1:9", retry=RetryPolicy(max_attempts=1)) as client:
        _, error = await outcome_of(getattr(client, operation)("1", open_recipients(path)))

    assert isinstance(error, SourceError)
    assert_free(everything_about(error) + watch.written(), of=(*KEYS, NUMBER, MESSAGE))


WORD = "Thandiwe"


def readings(folder: Path) -> dict[str, Callable[[], object]]:
    """What is called without a client, each with a number or a list that is refused."""
    optouts = folder / "optouts.txt"
    optouts.write_text(f"{NUMBER}\n{NUMBER[:-3]} {WORD}\n")
    rows, out = [{"Number": NUMBER, "Message": MESSAGE}], [NUMBER]
    return {
        "a number": lambda: phones.normalize(f"{NUMBER}00", "ZA"),
        "a cell of a sheet": lambda: phones.to_text(float(NUMBER) + 0.5),
        "a word": lambda: phones.normalize(WORD, "GB"),
        "a file of opt-outs": lambda: load_suppression(optouts),
        "a list of opt-outs": lambda: suppression_stage("Number", [*out, (NUMBER,)]),
        "a preview's list of opt-outs": lambda: preview(rows, suppress=[*out, (NUMBER,)]),
        "a preview's setting": lambda: preview(rows, suppress=out, mobile_only=True),
        "a preview's price": lambda: preview(rows, common={"Message": MESSAGE}, price_per_segment="a lot"),
        "a preview's source": lambda: preview(NUMBER),
    }


def test_no_recipient_shows_where_numbers_are_read_without_a_client(tmp_path: Path) -> None:
    for what, read in readings(tmp_path).items():
        with pytest.raises((MobizError, TypeError)) as raised:
            read()

        shown = "\n".join(map(frames_of_ours, chain(raised.value)))
        assert not [word for word in (NUMBER[2:-3], MESSAGE, WORD) if word in shown], what


def test_the_looking_itself_finds_what_is_there() -> None:
    """A test that cannot fail would prove nothing."""

    def leak(api_key: str) -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x") as raised:
        leak(API_KEY)
    shown = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=True).format())

    with pytest.raises(AssertionError):
        assert_free(shown, of=KEYS)
    with pytest.raises(AssertionError):
        assert_free(quote(NUMBER), of=(NUMBER,))
