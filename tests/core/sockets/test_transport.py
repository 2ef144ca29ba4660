"""One POST and its answer: judged by the body and the status, for every fault of the sandbox."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from broken import (
    APPENDED,
    Peer,
    obliging,
    serving,
)
from posting import MIB, Make, append, posted, told

from mobiz_async import ConfigurationError, MobizClient
from mobiz_async.addresses import check_base_url
from mobiz_async.models import Outcome, Secret
from mobiz_async.sandbox import Fault, Faults, Sandbox
from mobiz_async.transport import REPLY_CAP
from mobiz_async.verdicts import Stage, Verdict
from mobiz_async.wire import Operation, trigger_request

# Whole answers


@pytest.mark.parametrize(
    ("status", "body", "headers", "verdict"),
    [
        ("200 OK", APPENDED, (), Verdict.ACCEPTED),
        ("200 OK", b"<html>Sign in</html>", ("Content-Type: text/html",), Verdict.UNREADABLE),
        ("200 OK", b'{"result": "ok"}', (), Verdict.UNREADABLE),
        ("200 OK", b"", (), Verdict.UNREADABLE),
        ("200 OK", b'{"status": 1', (), Verdict.UNREADABLE),
        ("202 Accepted", b"", (), Verdict.UNREADABLE),
        ("204 No Content", b"", (), Verdict.UNREADABLE),
        ("429 Too Many Requests", b"", ("Retry-After: 7",), Verdict.THROTTLED),
        ("503 Service Unavailable", b"", ("retry-after: 7",), Verdict.THROTTLED),
        ("503 Service Unavailable", b"", (), Verdict.SERVER_ERROR),
        ("500 Internal Server Error", b"{}", (), Verdict.SERVER_ERROR),
        ("401 Unauthorized", b"", (), Verdict.AUTH_FAILED),
        ("999 Whatever", b"", (), Verdict.SERVER_ERROR),
    ],
)
async def test_a_whole_answer_is_judged_by_body_and_status(transport_to: Make, status, body, headers, verdict) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(status, body, *headers)

    async with serving(script) as seen:
        judged, _ = await posted(transport_to(seen.url))

    assert (Stage.SENT, None, verdict) == told(judged)
    assert judged.retry_after == (7.0 if headers and "etry" in headers[0] else None)


async def test_a_triggers_empty_202_is_accepted(transport_to: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer("202 Accepted")

    async with serving(script) as seen:
        judged, _ = await posted(transport_to(seen.url), trigger_request(Secret("key"), b"{}"))

    assert judged.verdict is Verdict.ACCEPTED


async def test_a_refusal_whose_body_breaks_off_is_a_refusal_by_its_status(transport_to: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer("413 Too Large", b"{", length=100)

    async with serving(script) as seen:
        judged, _ = await posted(transport_to(seen.url))

    assert told(judged) == (Stage.SENT, None, Verdict.TOO_LARGE)


async def test_an_answer_that_comes_while_the_body_goes_out_counts_and_stops_the_body(transport_to: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.answer("413 Too Large", b"", "Connection: close")
        await peer.seen.ended.wait()

    async with serving(script) as seen:
        judged, _ = await posted(transport_to(seen.url, upload_stall=2), append(b" " * (64 * MIB)))
        seen.ended.set()

    assert told(judged) == (Stage.SENDING, None, Verdict.TOO_LARGE)


async def test_a_reply_is_read_up_to_its_cap(transport_to: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer("200 OK", b'{"status": 1, "x": "' + b"y" * (8 * MIB) + b'"}')

    async with serving(script) as seen:
        judged, _ = await posted(transport_to(seen.url))

    assert judged.attempt.reply is not None
    assert (len(judged.attempt.reply.body), judged.verdict) == (REPLY_CAP, Verdict.UNREADABLE)


@pytest.mark.parametrize(
    ("count", "length", "verdict"),
    [
        (1, REPLY_CAP + 100, Verdict.UNREADABLE),
        (2000, REPLY_CAP + 100, Verdict.ACCEPTED),
        (2000, 2000 * 1024, Verdict.ACCEPTED),
        (2000, 2000 * 1024 + 1, Verdict.UNREADABLE),
    ],
)
async def test_the_reply_to_a_batch_may_be_as_long_as_the_batch_makes_it(
    transport_to: Make, count: int, length: int, verdict: Verdict
) -> None:
    """A reply that is cut would make an unknown outcome of every large batch."""
    body = b'{"Result_Code": 3, "Message_Status": [], "Reference": "%s"}'
    body = body.replace(b"%s", b"r" * (length - len(body) + 2))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer("200 OK", body)

    async with serving(script) as seen:
        judged, _ = await posted(transport_to(seen.url), trigger_request(Secret("key"), b"[{}]", count))

    assert (len(body), judged.verdict) == (length, verdict)


async def test_a_key_that_the_server_quotes_is_scrubbed_from_the_reply(transport_to: Make) -> None:
    async def script(peer: Peer) -> None:
        head, _ = await peer.request()
        await peer.answer("200 OK", head)

    async with serving(script) as seen:
        judged, _ = await posted(transport_to(seen.url))

    assert judged.attempt.reply is not None
    assert b"sandbox-" not in judged.attempt.reply.body
    assert b"api_key=***" in judged.attempt.reply.body


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(transport_to: Make, status: int) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(f"{status} Elsewhere", b"", "Location: /elsewhere")

    async with serving(script) as seen:
        judged, _ = await posted(transport_to(seen.url))

    assert [head.split(b"?")[0] for head, _ in seen.requests] == [b"POST /customers/CustomerList-append"]
    assert judged.verdict is (Verdict.MISDIRECTED if status >= 307 else Verdict.REDIRECTED)


# Every fault of the sandbox: the verdict never lies about what was applied

EXPECTED = {
    Fault.CLOSE_BEFORE_READING: Verdict.NO_ANSWER,
    Fault.RESET_MID_BODY: Verdict.NO_ANSWER,
    Fault.EARLY_413: Verdict.TOO_LARGE,
    Fault.RESET_UNAPPLIED: Verdict.NO_ANSWER,
    Fault.HANG_UNAPPLIED: Verdict.NO_ANSWER,
    Fault.ERROR_500_UNAPPLIED: Verdict.SERVER_ERROR,
    Fault.RESET_AFTER_APPLY: Verdict.NO_ANSWER,
    Fault.CLOSE_AFTER_APPLY: Verdict.NO_ANSWER,
    Fault.HANG_AFTER_APPLY: Verdict.NO_ANSWER,
    Fault.ERROR_500_AFTER_APPLY: Verdict.SERVER_ERROR,
    Fault.ERROR_502_AFTER_APPLY: Verdict.SERVER_ERROR,
    Fault.ERROR_504_AFTER_APPLY: Verdict.SERVER_ERROR,
    Fault.UNAVAILABLE_AFTER_APPLY: Verdict.SERVER_ERROR,
    Fault.TRUNCATED_AFTER_APPLY: Verdict.NO_ANSWER,
    Fault.GARBAGE_AFTER_APPLY: Verdict.NO_ANSWER,
    Fault.HALF_STATUS_LINE_AFTER_APPLY: Verdict.NO_ANSWER,
    Fault.HTML_200_AFTER_APPLY: Verdict.UNREADABLE,
    Fault.FIELDLESS_200_AFTER_APPLY: Verdict.UNREADABLE,
    Fault.EMPTY_200_AFTER_APPLY: Verdict.UNREADABLE,
    Fault.EMPTY_202: Verdict.UNREADABLE,
    Fault.FEWER_IDS: Verdict.ACCEPTED,
    Fault.SLOW_ANSWER: Verdict.ACCEPTED,
    Fault.CLOSE_AFTER_ANSWER: Verdict.ACCEPTED,
    Fault.CLOSE_ON_REUSE: Verdict.ACCEPTED,
    Fault.THROTTLE: Verdict.THROTTLED,
    Fault.THROTTLE_DATE: Verdict.THROTTLED,
    Fault.THROTTLE_BARE: Verdict.THROTTLED,
    Fault.UNAVAILABLE: Verdict.SERVER_ERROR,
    Fault.UNAVAILABLE_RETRY_AFTER: Verdict.THROTTLED,
    Fault.UNAUTHORIZED: Verdict.AUTH_FAILED,
    Fault.QUOTA: Verdict.QUOTA,
    Fault.REDIRECT_301: Verdict.REDIRECTED,
    Fault.REDIRECT_307: Verdict.MISDIRECTED,
    Fault.REJECTED_200: Verdict.REFUSED,
    Fault.ERROR_400_LOGIC_APPS: Verdict.INVALID_PAYLOAD,
}
FOR_TRIGGERS = {
    Fault.EMPTY_202: Verdict.ACCEPTED,
    Fault.REJECTED_200: Verdict.INVALID_PAYLOAD,
}


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("operation", [Operation.APPEND, Operation.TRIGGER])
async def test_the_verdict_about_every_fault(transport_to: Make, sandbox: Sandbox, fault: Fault, operation) -> None:
    sandbox.faults = Faults.always(fault)
    request = (
        append()
        if operation is Operation.APPEND
        else trigger_request(Secret("sandbox-trigger"), b'{"A":"27821234567"}')
    )
    hangs = fault in (Fault.HANG_AFTER_APPLY, Fault.HANG_UNAPPLIED)
    task = asyncio.create_task(posted(transport_to(sandbox.base_url, read=0.1 if hangs else 10.0), request))
    if fault is Fault.SLOW_ANSWER:
        await sandbox.until(lambda: sandbox.held == 1)
        sandbox.release()

    judged, _ = await task

    expected = {**EXPECTED, **FOR_TRIGGERS} if operation is Operation.TRIGGER else EXPECTED
    assert expected[fault] is judged.verdict
    applied = sandbox.applied_total
    match judged.verdict.outcome:
        case Outcome.ACCEPTED:
            assert applied == 1
        case Outcome.REJECTED | Outcome.NOT_SENT:
            assert applied == 0
    assert (len(sandbox.requests), sandbox.elsewhere.posts) == (1, 0)


# Bodies


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3 * MIB + 1])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_a_body_arrives_as_it_was_whatever_its_size(transport_to: Make, size: int, kind: Any) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    async with serving(obliging) as seen:
        transport = transport_to(seen.url)
        for _ in range(2):  # the second time, as after a retry, it is whole again
            await posted(transport, append(kind(body)))
        await transport.aclose()

    assert [body == received for _, received in seen.requests] == [True, True]


async def test_a_request_is_as_the_vendor_has_it(transport_to: Make) -> None:
    async with serving(obliging) as seen:
        await posted(transport_to(f"{seen.url}/gateway/v1"), trigger_request(Secret("my key&"), b"{}", 1, "18:00"))

    head = seen.requests[0][0].decode()
    lines = head.split("\r\n")
    assert lines[0] == (
        "POST /gateway/v1/TriggerMessage/manual/paths/invoke"
        "?trigger_key=my+key%26&send_time=18:00&api_key=sandbox-api-key HTTP/1.1"
    )
    assert "Ocp-Apim-Subscription-Key: sandbox-subscription-key" in lines
    assert "Content-Type: application/json" in lines
    assert "Content-Length: 2" in lines


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://api.mobiz.co",
        "https://api.mobiz.co/",
        "https://api.mobiz.co:8443/gateway/",
        "http://localhost:8000",
        "http://mobiz.localhost",
        "http://127.0.0.1:1",
        "http://127.9.9.9",
        "http://[::1]:80",
    ],
)
def test_https_and_this_machine_are_addresses(url: str) -> None:
    assert str(check_base_url(url)).rstrip("/") == url.rstrip("/").removesuffix(":80")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://api.mobiz.co", "plain http"),
        ("http://localhost.example.com", "plain http"),
        ("http://10.0.0.1", "plain http"),
        ("http://0.0.0.0", "plain http"),
        ("ftp://api.mobiz.co", r"not an http\(s\) URL"),
        ("api.mobiz.co", r"not an http\(s\) URL"),
        ("https://", "URL"),
        ("https://api.mobiz.co:port", "not a URL"),
        (None, "not a URL"),
        ("https://me:pw@api.mobiz.co", "no user"),
        ("https://api.mobiz.co?x=1", "no user"),
        ("https://api.mobiz.co#x", "no user"),
    ],
)
def test_other_addresses_are_refused(url: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_base_url(url)


def test_plain_http_elsewhere_has_to_be_asked_for_by_name() -> None:
    assert check_base_url("http://10.0.0.1/x/", allow_insecure=True).path == "/x"


def test_a_transport_shows_its_address_and_no_key(transport_to: Make) -> None:
    assert repr(transport_to("https://api.mobiz.co")) == "AiohttpTransport('https://api.mobiz.co')"


async def test_however_many_addresses_are_used_each_request_has_its_own(transport_to: Make) -> None:
    """URLs are kept, since parsing them is a sizeable part of a small request's cost; not for ever."""
    async with serving(obliging) as seen:
        transport = transport_to(seen.url)
        for n in [*range(300), 0]:
            await posted(transport, trigger_request(Secret(f"key-{n}"), b"{}"))
        await transport.aclose()

    asked = [head.split(b"trigger_key=")[1].split(b"&")[0] for head, _ in seen.requests]
    assert asked == [b"key-%d" % n for n in [*range(300), 0]]
    assert len(transport._urls) <= 256


async def test_a_transport_is_not_copied_and_neither_is_a_client(transport_to: Make, client: MobizClient) -> None:
    """A deep copy would reach the event loop."""
    for whole in (transport_to("http://127.0.0.1:1"), client):
        with pytest.raises(TypeError, match="cannot be copied"):
            copy.deepcopy(whole)
