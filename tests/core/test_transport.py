"""One POST against real sockets that break in every way: how far it got, what it is called, what it proves."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from broken import CERTIFICATE, Peer, Seen, serving

from mobiz_async import ConfigurationError
from mobiz_async.models import Outcome
from mobiz_async.sandbox import Fault, Faults, Sandbox
from mobiz_async.transport import REPLY_CAP, AiohttpTransport, check_base_url, failure_of
from mobiz_async.verdicts import Attempt, Failure, Judged, Stage, Verdict, classify
from mobiz_async.wire import Operation, Request, append_request, encode, trigger_request

Make = Callable[..., AiohttpTransport]
BODY = encode([{"Number": "27821234567"}])
APPENDED = b'{"status": 1, "message": "Data Appended"}'
MIB = 1 << 20


def append(body: bytes = BODY) -> Request:
    return append_request("1", body, 1)


async def posted(transport: AiohttpTransport, request: Request | None = None) -> tuple[Judged, list[Stage]]:
    stages: list[Stage] = []
    request = request or append()
    attempt = await transport.post(request, stages.append)
    return classify(request.operation, attempt), stages


def told(judged: Judged) -> tuple[Stage, Failure | None, Verdict]:
    return judged.attempt.stage, judged.attempt.failure, judged.verdict


# No connection: provably not sent


@pytest.fixture
def deaf() -> Any:
    """A socket that is bound and does not listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


async def test_a_refused_connection_is_not_sent(transport_to: Make, deaf: str) -> None:
    judged, stages = await posted(transport_to(deaf))

    assert told(judged) == (Stage.CONNECTING, Failure.CONNECT, Verdict.CONNECT_FAILED)
    assert stages == [Stage.CONNECTING]


class NoSuchHost(AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
        raise OSError(None, f"no such host: {host}")

    async def close(self) -> None:
        return


async def test_a_name_that_is_not_found_is_not_sent(transport_to: Make) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=NoSuchHost())) as session:
        judged, _ = await posted(transport_to("http://nowhere.invalid", session=session))

    assert told(judged) == (Stage.CONNECTING, Failure.CONNECT, Verdict.CONNECT_FAILED)


class SlowHost(NoSuchHost):
    async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("timeouts", "failure"),
    [({"connect": 0.05}, Failure.CONNECT_TIMEOUT), ({"total": 0.05}, Failure.TIMEOUT)],
    ids=["connect", "total"],
)
async def test_a_name_look_up_that_takes_too_long_is_not_sent(transport_to: Make, timeouts: Any, failure) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=SlowHost())) as session:
        judged, _ = await posted(transport_to("http://nowhere.invalid", session=session, **timeouts))

    assert told(judged) == (Stage.CONNECTING, failure, Verdict.CONNECT_FAILED)


async def test_a_connection_that_is_not_taken_is_not_sent(transport_to: Make) -> None:
    with socket.socket() as full, contextlib.ExitStack() as others:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # they fill the queue of connections that nobody accepts
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        judged, _ = await posted(transport_to(f"http://127.0.0.1:{full.getsockname()[1]}", connect=0.1))

    assert told(judged) == (Stage.CONNECTING, Failure.CONNECT_TIMEOUT, Verdict.CONNECT_FAILED)


async def test_a_wait_for_the_sessions_own_pool_is_not_sent(transport_to: Make) -> None:
    async def silent(peer: Peer) -> None:
        await peer.request()
        await asyncio.Event().wait()

    async with (
        serving(silent) as seen,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
    ):
        first = asyncio.create_task(posted(transport_to(seen.url, session=session)))
        while not seen.requests:
            await asyncio.sleep(0)
        judged, _ = await posted(transport_to(seen.url, session=session, connect=0.05))
        first.cancel()
        await asyncio.wait([first])

    assert told(judged) == (Stage.CONNECTING, Failure.CONNECT_TIMEOUT, Verdict.CONNECT_FAILED)
    assert len(seen.requests) == 1


async def not_tls(peer: Peer) -> None:
    await peer.reader.read(1)
    peer.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def hangs_up(peer: Peer) -> None:
    await peer.reader.read(1)


async def resets(peer: Peer) -> None:
    await peer.reader.read(1)
    peer.reset()


@pytest.mark.parametrize("script", [not_tls, hangs_up, resets])
async def test_a_tls_handshake_that_fails_is_not_sent(transport_to: Make, script: Any) -> None:
    async with serving(script) as seen:
        judged, _ = await posted(transport_to(seen.url.replace("http:", "https:")))

    assert judged.attempt.stage is Stage.CONNECTING
    assert judged.verdict is Verdict.CONNECT_FAILED


async def obliging(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer("200 OK", APPENDED)


async def test_a_certificate_nobody_vouches_for_is_not_sent(transport_to: Make) -> None:
    async with serving(obliging, tls=True) as seen:
        judged, _ = await posted(transport_to(seen.url))

    assert told(judged) == (Stage.CONNECTING, Failure.CONNECT, Verdict.CONNECT_FAILED)
    assert seen.requests == []


async def test_a_fingerprint_that_differs_is_not_sent(transport_to: Make) -> None:
    connector = aiohttp.TCPConnector(ssl=aiohttp.Fingerprint(b"\0" * 32))
    async with serving(obliging, tls=True) as seen, aiohttp.ClientSession(connector=connector) as session:
        judged, _ = await posted(transport_to(seen.url, session=session))

    assert told(judged) == (Stage.CONNECTING, Failure.CONNECT, Verdict.CONNECT_FAILED)
    assert seen.requests == []


async def test_tls_settings_of_an_injected_session_are_used(transport_to: Make) -> None:
    context = ssl.create_default_context(cafile=str(CERTIFICATE))
    connector = aiohttp.TCPConnector(ssl=context)
    async with serving(obliging, tls=True) as seen, aiohttp.ClientSession(connector=connector) as session:
        judged, _ = await posted(transport_to(seen.url, session=session))

    assert judged.verdict is Verdict.ACCEPTED


# A connection, and no usable answer: unknown


async def fin(peer: Peer) -> None:
    await peer.request()


async def rst(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def half_a_status_line(peer: Peer) -> None:
    await peer.request()
    peer.writer.write(b"HTTP/1.1 20")


async def garbage(peer: Peer) -> None:
    await peer.request()
    peer.writer.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")


async def silence(peer: Peer) -> None:
    await peer.request()
    await asyncio.Event().wait()


async def head_and_silence(peer: Peer) -> None:
    await peer.request()
    await peer.answer("200 OK", b"", length=100)
    await asyncio.Event().wait()


async def truncated(peer: Peer) -> None:
    await peer.request()
    await peer.answer("200 OK", APPENDED[:10], "Content-Type: application/json", length=len(APPENDED))


async def broken_chunks(peer: Peer) -> None:
    await peer.request()
    peer.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}")


async def broken_compression(peer: Peer) -> None:
    await peer.request()
    await peer.answer("200 OK", b"not gzip at all", "Content-Encoding: gzip")


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (fin, Failure.DISCONNECTED),
        (rst, Failure.DISCONNECTED),
        (half_a_status_line, Failure.DISCONNECTED),
        (garbage, Failure.GARBAGE),
        (silence, Failure.TIMEOUT),
        (head_and_silence, Failure.TIMEOUT),
        (truncated, Failure.TRUNCATED),
        (broken_chunks, Failure.GARBAGE),
        (broken_compression, Failure.TRUNCATED),
    ],
)
async def test_an_answer_that_never_came_whole_proves_nothing(transport_to: Make, script: Any, failure) -> None:
    async with serving(script) as seen:
        judged, stages = await posted(transport_to(seen.url, read=0.1))

    assert told(judged) == (Stage.SENT, failure, Verdict.NO_ANSWER)
    assert stages == [Stage.CONNECTING, Stage.SENDING, Stage.SENT]
    assert [body for _, body in seen.requests] == [BODY]


async def test_silence_up_to_the_total_timeout_proves_nothing(transport_to: Make) -> None:
    async with serving(silence) as seen:
        judged, _ = await posted(transport_to(seen.url, total=0.1))

    assert told(judged) == (Stage.SENT, Failure.TIMEOUT, Verdict.NO_ANSWER)


async def takes_only_the_head(peer: Peer) -> None:
    await peer.head()
    await asyncio.Event().wait()


async def test_a_body_that_nobody_takes_is_an_upload_that_stalled(transport_to: Make) -> None:
    async with serving(takes_only_the_head) as seen:
        judged, stages = await posted(transport_to(seen.url, upload_stall=0.1), append(b" " * (16 * MIB)))

    assert told(judged) == (Stage.SENDING, Failure.UPLOAD_STALLED, Verdict.NO_ANSWER)
    assert stages[-1] is Stage.SENDING


async def test_a_connection_lost_midway_through_the_body_proves_nothing(transport_to: Make) -> None:
    async def cut(peer: Peer) -> None:
        await peer.head()
        await peer.reader.readexactly(MIB)
        peer.reset()

    async with serving(cut) as seen:
        judged, _ = await posted(transport_to(seen.url), append(b" " * (16 * MIB)))

    assert told(judged) == (Stage.SENDING, Failure.DISCONNECTED, Verdict.NO_ANSWER)


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
        judged, _ = await posted(transport_to(seen.url), trigger_request("key", b"{}"))

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
    request = append() if operation is Operation.APPEND else trigger_request("sandbox-trigger", b'{"A":"27821234567"}')
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


# Connections that are used again


@pytest.mark.parametrize("fault", [Fault.CLOSE_ON_REUSE, Fault.CLOSE_AFTER_ANSWER])
async def test_a_kept_connection_that_closes_at_the_worst_moment_costs_no_second_post(
    transport_to: Make, sandbox: Sandbox, fault: Fault
) -> None:
    sandbox.faults = Faults.script([fault])
    transport = transport_to(sandbox.base_url)
    first, _ = await posted(transport)
    second, _ = await posted(transport)

    assert first.verdict is Verdict.ACCEPTED
    assert (second.verdict, sandbox.applied_total) in [(Verdict.NO_ANSWER, 1), (Verdict.ACCEPTED, 2)]
    assert len(sandbox.requests) <= 2


async def test_a_connection_is_used_again(transport_to: Make) -> None:
    async with serving(obliging) as seen:
        transport = transport_to(seen.url)
        for _ in range(3):
            await posted(transport)
        await transport.aclose()

    assert (seen.connections, len(seen.requests)) == (1, 3)


async def test_after_a_failure_the_next_post_has_a_connection_of_its_own(transport_to: Make) -> None:
    answered = False

    async def script(peer: Peer) -> None:
        nonlocal answered
        await peer.request()
        if not answered:
            answered = True
            await asyncio.Event().wait()
        await peer.answer("200 OK", APPENDED)

    async with serving(script) as seen:
        transport = transport_to(seen.url, read=0.05)
        first, _ = await posted(transport)
        second, _ = await posted(transport)

    assert (first.verdict, second.verdict) == (Verdict.NO_ANSWER, Verdict.ACCEPTED)
    assert seen.connections == 2


# Bodies


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3 * MIB + 1])
@pytest.mark.parametrize("kind", [bytes, bytearray, lambda body: memoryview(body)])
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
        await posted(transport_to(f"{seen.url}/gateway/v1"), trigger_request("my key&", b"{}", 1, "18:00"))

    head = seen.requests[0][0].decode()
    lines = head.split("\r\n")
    assert lines[0] == (
        "POST /gateway/v1/TriggerMessage/manual/paths/invoke"
        "?trigger_key=my+key%26&send_time=18:00&api_key=sandbox-api-key HTTP/1.1"
    )
    assert "Ocp-Apim-Subscription-Key: sandbox-subscription-key" in lines
    assert "Content-Type: application/json" in lines
    assert "Content-Length: 2" in lines


# Cancelling, and the tail


async def test_cancelled_while_connecting_nothing_was_sent(transport_to: Make) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=SlowHost())) as session:
        stages: list[Stage] = []
        task = asyncio.create_task(
            transport_to("http://nowhere.invalid", session=session).post(append(), stages.append)
        )
        while not stages:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    assert (task.cancelled(), stages) == (True, [Stage.CONNECTING])


async def slowly(peer: Peer) -> None:
    await peer.head()
    peer.seen.received += len(await peer.reader.readexactly(1))
    peer.seen.requests.append((b"", b""))
    await peer.seen.ended.wait()
    await peer.rest()
    peer.seen.requests.append((b"", b""))


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_the_rest_of_a_body_does_not_trickle_out_after_the_caller_was_told(transport_to: Make, how: str) -> None:
    """What the peer's kernel holds cannot be called back; what is still here can."""
    size = 32 * MIB
    async with serving(slowly) as seen:
        stages: list[Stage] = []
        transport = transport_to(seen.url, total=0.2 if how == "timed out" else 60)
        task = asyncio.create_task(transport.post(append(b" " * size), stages.append))
        while not seen.requests:
            await asyncio.sleep(0)
        if how == "cancelled":
            task.cancel()
        await asyncio.wait([task])
        seen.ended.set()
        while len(seen.requests) < 2:
            await asyncio.sleep(0)

    assert stages[-1] is Stage.SENDING
    assert seen.received < size / 2


# The session


async def test_an_injected_session_is_used_and_never_closed(transport_to: Make, sandbox: Sandbox) -> None:
    async with aiohttp.ClientSession(headers={"User-Agent": "mine"}) as session:
        transport = transport_to(sandbox.base_url, session=session)
        judged, _ = await posted(transport)
        await transport.aclose()

        assert (judged.verdict, session.closed) == (Verdict.ACCEPTED, False)


async def test_a_session_of_its_own_is_closed_and_twice_is_fine(transport_to: Make, sandbox: Sandbox) -> None:
    transport = transport_to(sandbox.base_url)
    await posted(transport)
    session = transport._session
    await transport.aclose()
    await transport.aclose()

    assert session is not None
    assert session.closed


async def test_closing_before_the_first_post_is_fine(transport_to: Make, sandbox: Sandbox) -> None:
    assert await transport_to(sandbox.base_url).aclose() is None


async def test_after_closing_nothing_is_sent(transport_to: Make, sandbox: Sandbox) -> None:
    transport = transport_to(sandbox.base_url)
    await transport.aclose()

    judged, _ = await posted(transport)

    assert told(judged) == (Stage.QUEUED, Failure.CLOSED, Verdict.NOT_STARTED)


async def test_an_injected_session_that_is_closed_is_a_clear_error(transport_to: Make, sandbox: Sandbox) -> None:
    session = aiohttp.ClientSession()
    await session.close()

    with pytest.raises(RuntimeError, match="the session that was handed to this client is closed"):
        await posted(transport_to(sandbox.base_url, session=session))


async def test_no_cookie_of_the_server_comes_back(transport_to: Make) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer("200 OK", APPENDED, "Set-Cookie: who=me")

    async with serving(script) as seen:
        transport = transport_to(seen.url)
        await posted(transport)
        await posted(transport)
        await transport.aclose()

    assert b"who=me" not in seen.requests[1][0]


async def test_a_users_middlewares_run_and_see_no_key(transport_to: Make, sandbox: Sandbox) -> None:
    saw: list[str] = []

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        saw.append(f"{request.url} {dict(request.headers)}")
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=[middleware]) as session:
        judged, _ = await posted(transport_to(sandbox.base_url, session=session))

    assert (judged.verdict, len(saw)) == (Verdict.ACCEPTED, 1)
    assert "sandbox-" not in saw[0]


async def test_what_a_users_middleware_raises_is_a_failure_and_not_sent(transport_to: Make, sandbox: Sandbox) -> None:
    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        raise ValueError("27821234567")

    async with aiohttp.ClientSession(middlewares=[middleware]) as session:
        judged, _ = await posted(transport_to(sandbox.base_url, session=session))

    assert told(judged) == (Stage.CONNECTING, Failure.OTHER, Verdict.CONNECT_FAILED)
    assert sandbox.requests == ()


async def test_a_middleware_that_sends_twice_sends_no_second_body(transport_to: Make, sandbox: Sandbox) -> None:
    """A retry middleware of the session's would double every send."""

    async def twice(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        with contextlib.suppress(Exception):
            await handler(request)
        return await handler(request)

    sandbox.faults = Faults.script([Fault.RESET_AFTER_APPLY])
    async with aiohttp.ClientSession(middlewares=[twice]) as session:
        judged, _ = await posted(transport_to(sandbox.base_url, session=session))

    assert judged.verdict.outcome is Outcome.UNKNOWN
    assert sandbox.applied_total == 1


async def test_a_middleware_that_tries_again_before_a_byte_went_out_is_fine(
    transport_to: Make, sandbox: Sandbox
) -> None:
    failed = []

    async def again(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001  whatever it is
            failed.append(error)
        await sandbox.accept()
        return await handler(request)

    await sandbox.refuse()
    async with aiohttp.ClientSession(middlewares=[again]) as session:
        judged, _ = await posted(transport_to(sandbox.base_url, session=session))

    assert (len(failed), judged.verdict) == (1, Verdict.ACCEPTED)


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


# Foreign exceptions: each of aiohttp's has our word

OURS = {
    aiohttp.ConnectionTimeoutError: Failure.CONNECT_TIMEOUT,
    aiohttp.ClientConnectorError: Failure.CONNECT,
    aiohttp.ClientConnectorDNSError: Failure.CONNECT,
    aiohttp.ClientConnectorSSLError: Failure.CONNECT,
    aiohttp.ClientConnectorCertificateError: Failure.CONNECT,
    aiohttp.ClientSSLError: Failure.CONNECT,
    aiohttp.ClientProxyConnectionError: Failure.CONNECT,
    aiohttp.client_exceptions.UnixClientConnectorError: Failure.CONNECT,
    aiohttp.ServerFingerprintMismatch: Failure.CONNECT,
    aiohttp.ClientHttpProxyError: Failure.CONNECT,
    aiohttp.ServerTimeoutError: Failure.TIMEOUT,
    aiohttp.SocketTimeoutError: Failure.TIMEOUT,
    aiohttp.ClientPayloadError: Failure.TRUNCATED,
    aiohttp.ClientResponseError: Failure.GARBAGE,
    aiohttp.ContentTypeError: Failure.GARBAGE,
    aiohttp.TooManyRedirects: Failure.GARBAGE,
    aiohttp.WSServerHandshakeError: Failure.GARBAGE,
    aiohttp.ClientConnectionError: Failure.DISCONNECTED,
    aiohttp.ClientConnectionResetError: Failure.DISCONNECTED,
    aiohttp.ClientOSError: Failure.DISCONNECTED,
    aiohttp.ServerConnectionError: Failure.DISCONNECTED,
    aiohttp.ServerDisconnectedError: Failure.DISCONNECTED,
}
WITHOUT_A_WORD = {
    aiohttp.ClientError: "the base of all",
    aiohttp.InvalidURL: "our own URLs are checked when the client is made",
    aiohttp.InvalidUrlClientError: "the same",
    aiohttp.InvalidUrlRedirectClientError: "no redirect is followed",
    aiohttp.NonHttpUrlClientError: "the scheme is checked when the client is made",
    aiohttp.NonHttpUrlRedirectClientError: "no redirect is followed",
    aiohttp.RedirectClientError: "no redirect is followed",
}
OF_OTHER_USES = {"UploadAbortedError", "ConnectionTimeoutError"}


def kinds_of(base: type[BaseException]) -> set[type[BaseException]]:
    return {base}.union(*(kinds_of(kind) for kind in base.__subclasses__() if kind.__module__.startswith("aiohttp")))


def test_every_exception_of_aiohttps_has_a_word_or_a_reason_for_none() -> None:
    names = {kind.__name__ for kind in kinds_of(aiohttp.ClientError)}

    assert names - {kind.__name__ for kind in [*OURS, *WITHOUT_A_WORD]} <= OF_OTHER_USES


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_each_exception_of_aiohttps_has_its_word(kind: type[BaseException]) -> None:
    assert failure_of(kind.__new__(kind)) is OURS[kind]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (TimeoutError(), Failure.TIMEOUT),
        (ConnectionResetError(), Failure.DISCONNECTED),
        (OSError(), Failure.DISCONNECTED),
        (ssl.SSLError(), Failure.DISCONNECTED),
        (ValueError(), Failure.OTHER),
        *((kind.__new__(kind), Failure.OTHER) for kind in WITHOUT_A_WORD),
    ],
)
def test_other_exceptions_have_a_word_too(error: BaseException, failure: Failure) -> None:
    assert failure_of(error) is failure


# Facts about aiohttp that the transport rests on; a new release that changes one fails here first


async def test_fact_a_session_keeps_its_middlewares_where_we_chain_to_them() -> None:
    async def middleware(request: Any, handler: Any) -> Any:
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=[middleware]) as session, aiohttp.ClientSession() as plain:
        assert (middleware,) == tuple(session._middlewares)
        assert tuple(plain._middlewares) == ()


def test_fact_a_payload_is_written_through_write() -> None:
    source = inspect.getsource(aiohttp.Payload.write_with_length)

    assert "await self.write(writer)" in source


async def test_fact_connection_errors_come_before_a_payload_is_asked_to_write(deaf: str) -> None:
    written = []

    class Payload(aiohttp.Payload):
        def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
            return ""

        async def write(self, writer: Any) -> None:
            written.append(writer)

    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.post(deaf, data=Payload(b""))

    assert written == []


@pytest.fixture
async def silent_server() -> AsyncIterator[Seen]:
    async with serving(silence) as seen:
        yield seen


async def test_fact_a_read_timeout_is_a_socket_timeout_error(silent_server: Seen) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_read=0.05)) as session:
        with pytest.raises(aiohttp.SocketTimeoutError):
            await session.post(silent_server.url, data=b"x")


async def test_fact_a_post_is_not_resent_by_aiohttp_when_a_kept_connection_is_closed() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer("200 OK", b"{}")
        await peer.request()

    async with serving(script) as seen, aiohttp.ClientSession() as session:
        async with session.post(seen.url, data=b"1") as response:
            await response.read()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.post(seen.url, data=b"2")

    assert [body for _, body in seen.requests] == [b"1", b"2"]


async def test_fact_garbage_is_a_response_error_with_a_status_no_server_sent() -> None:
    async with serving(garbage) as seen, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientResponseError) as raised:
            await session.post(seen.url, data=b"x")

    assert raised.value.status == 400


async def test_fact_a_key_added_in_a_middleware_is_not_in_the_start_and_end_hooks(sandbox: Sandbox) -> None:
    saw: list[str] = []

    async def hook(session: Any, context: Any, params: Any) -> None:
        saw.append(f"{params.url} {dict(params.headers)}")

    traces = aiohttp.TraceConfig()
    traces.on_request_start.append(hook)
    traces.on_request_end.append(hook)

    async def add(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.url = request.url.extend_query(api_key="hunter2")
        request.headers["Key"] = "hunter2"
        return await handler(request)

    async with (
        aiohttp.ClientSession(trace_configs=[traces]) as session,
        session.post(f"{sandbox.base_url}/sandbox/summary", middlewares=[add]) as response,
    ):
        shown = str(response.url)

    assert len(saw) == 2
    assert "hunter2" not in "".join([*saw, shown])


def test_fact_the_certificate_of_these_tests_is_their_own() -> None:
    assert "BEGIN CERTIFICATE" in CERTIFICATE.read_text("ascii")


def test_an_attempt_shows_nothing_of_request_or_reply() -> None:
    assert "27821234567" not in repr(Attempt(Stage.SENT)) + repr(append())


def test_the_body_of_these_tests_is_json() -> None:
    assert json.loads(BODY) == [{"Number": "27821234567"}]
