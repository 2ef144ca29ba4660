"""One POST against real sockets that break in every way: how far it got, what it is called, what it proves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any

import aiohttp
import pytest
from broken import (
    APPENDED,
    Peer,
    authority,
    garbage,
    obliging,
    serving,
    silence,
)
from posting import BODY, MIB, Make, NoSuchHost, SlowHost, append, posted, told

from mobiz_async.verdicts import Failure, Stage, Verdict

# No connection: provably not sent


async def test_a_refused_connection_is_not_sent(transport_to: Make, deaf: str) -> None:
    judged, stages = await posted(transport_to(deaf))

    assert told(judged) == (Stage.CONNECTING, Failure.CONNECT, Verdict.CONNECT_FAILED)
    assert stages == [Stage.CONNECTING]


async def test_a_name_that_is_not_found_is_not_sent(transport_to: Make) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=NoSuchHost())) as session:
        judged, _ = await posted(transport_to("http://nowhere.invalid", session=session))

    assert told(judged) == (Stage.CONNECTING, Failure.CONNECT, Verdict.CONNECT_FAILED)


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
        await seen.until(lambda: len(seen.requests) == 1)
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
    async with serving(script, tls=False) as seen:
        judged, _ = await posted(transport_to(seen.url.replace("http:", "https:")))

    assert judged.attempt.stage is Stage.CONNECTING
    assert judged.verdict is Verdict.CONNECT_FAILED


async def test_a_certificate_nobody_vouches_for_is_not_sent(transport_to: Make) -> None:
    async with serving(obliging, tls=True) as seen:
        judged, _ = await posted(transport_to(seen.url))

    assert told(judged) == (Stage.CONNECTING, Failure.CERTIFICATE, Verdict.CONNECT_FAILED)
    assert seen.requests == []


async def test_a_fingerprint_that_differs_is_not_sent(transport_to: Make) -> None:
    connector = aiohttp.TCPConnector(ssl=aiohttp.Fingerprint(b"\0" * 32))
    async with serving(obliging, tls=True) as seen, aiohttp.ClientSession(connector=connector) as session:
        judged, _ = await posted(transport_to(seen.url, session=session))

    assert told(judged) == (Stage.CONNECTING, Failure.CERTIFICATE, Verdict.CONNECT_FAILED)
    assert seen.requests == []


async def test_tls_settings_of_an_injected_session_are_used(transport_to: Make) -> None:
    context = ssl.create_default_context()
    authority().configure_trust(context)
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


@pytest.mark.parametrize("timeouts", [{"read": 0.1}, {"total": 0.1}], ids=["read", "total"])
@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("400 Bad Request", Verdict.INVALID_PAYLOAD),
        ("429 Too Many Requests", Verdict.THROTTLED),
        ("401 Unauthorized", Verdict.AUTH_FAILED),
        ("307 Temporary Redirect", Verdict.MISDIRECTED),
    ],
)
async def test_a_refusal_whose_body_never_comes_is_known_by_its_status(
    transport_to: Make, status: str, verdict: Verdict, timeouts: Any
) -> None:
    async def head_of_it(peer: Peer) -> None:
        await peer.request()
        await peer.answer(status, b"", "Location: /elsewhere", length=100)
        await asyncio.Event().wait()

    async with serving(head_of_it) as seen:
        judged, _ = await posted(transport_to(seen.url, **timeouts))

    assert told(judged) == (Stage.SENT, None, verdict)


async def test_who_is_cancelled_while_the_body_of_a_refusal_is_read_is_cancelled(transport_to: Make) -> None:
    asked = asyncio.Event()

    async def head_of_it(peer: Peer) -> None:
        await peer.request()
        await peer.answer("400 Bad Request", b"", length=100)
        asked.set()
        await asyncio.Event().wait()

    async with serving(head_of_it) as seen:
        posting = asyncio.create_task(posted(transport_to(seen.url)))
        await asked.wait()
        posting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await posting


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
