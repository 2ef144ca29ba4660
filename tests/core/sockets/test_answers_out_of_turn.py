"""HTTP says which answer belongs to which request by their order alone: one that came out of turn proves nothing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from broken import APPENDED, Peer, authority, obliging, serving
from posting import MIB, Make, append, posted

from mobiz_async.upload import Upload, _has_unread
from mobiz_async.verdicts import Failure, Stage, Verdict

ALREADY = ["200 OK", "400 Bad Request", "429 Too Many Requests", "503 Service Unavailable", "408 Request Timeout"]


@pytest.fixture(params=[False, True], ids=["http", "https"])
async def session(request: pytest.FixtureRequest) -> AsyncIterator[tuple[bool, aiohttp.ClientSession]]:
    """Whether it is https, and a session that trusts the servers of these tests."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield request.param, session


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  nobody tells when it does: it is the system's and aiohttp's
        await asyncio.sleep(0)


def idle(session: aiohttp.ClientSession) -> list[Any]:
    """The connections that wait to be used again, as aiohttp has them."""
    return [held[0] for kept in session.connector._conns.values() for held in kept]


def saying(status: str, said: asyncio.Event, told: asyncio.Event) -> Any:
    """A server whose first connection says more than it was asked, when ``told``, and takes nothing after that."""
    talking = True

    async def script(peer: Peer) -> None:
        nonlocal talking
        if not talking:
            return await obliging(peer)
        talking = False
        await peer.request()
        await peer.answer("200 OK", APPENDED)
        await told.wait()
        await peer.answer(status, APPENDED)
        said.set()
        await peer.rest()
        return None

    return script


@pytest.mark.parametrize("status", ALREADY)
async def test_an_answer_that_was_there_before_the_request_is_none_and_it_goes_elsewhere(
    transport_to: Make, session: tuple[bool, aiohttp.ClientSession], status: str
) -> None:
    tls, its = session
    said, told = asyncio.Event(), asyncio.Event()
    async with serving(saying(status, said, told), tls=tls) as seen:
        transport = transport_to(seen.url, session=its)
        await posted(transport)
        (connection,) = idle(its)
        told.set()
        await said.wait()
        await until(lambda: connection.should_close)

        second, stages = await posted(transport)

    assert (second.verdict, len(seen.requests), seen.connections) == (Verdict.ACCEPTED, 2, 2)
    assert stages == [Stage.CONNECTING, Stage.CONNECTING, Stage.SENDING, Stage.SENT]


@pytest.mark.parametrize("status", ALREADY)
async def test_nor_is_one_that_the_event_loop_has_not_come_to_read(transport_to: Make, status: str) -> None:
    """Over http: a connection of asyncio's that is paused goes on to read for TLS."""
    said, told = asyncio.Event(), asyncio.Event()
    async with serving(saying(status, said, told), tls=False) as seen, aiohttp.ClientSession() as its:
        transport = transport_to(seen.url, session=its)
        await posted(transport)
        (connection,) = idle(its)
        connection.transport.pause_reading()  # as where something keeps the loop from it
        told.set()
        await said.wait()
        await until(lambda: _has_unread(connection.transport))

        second, _ = await posted(transport)

    assert (second.verdict, len(seen.requests), seen.connections) == (Verdict.ACCEPTED, 2, 2)


async def test_a_server_that_always_says_more_than_it_is_asked_is_not_asked_for_ever(transport_to: Make) -> None:
    """Nothing goes out on such a connection, so it is proven that nothing was sent."""
    said = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.answer("400 Bad Request")
        said.set()
        await peer.rest()

    class Patient(aiohttp.TCPConnector):
        async def connect(self, *arguments: Any, **options: Any) -> Any:
            connection = await super().connect(*arguments, **options)
            await said.wait()
            said.clear()
            await until(lambda: connection.protocol.should_close)
            return connection

    async with serving(script, tls=False) as seen, aiohttp.ClientSession(connector=Patient()) as session:
        judged, _ = await posted(transport_to(seen.url, session=session))

    assert (judged.verdict, judged.attempt.failure) == (Verdict.CONNECT_FAILED, Failure.STALE)
    assert (seen.connections, seen.received) == (3, 0)


@pytest.mark.parametrize("pieces", [1, 2], ids=["at once", "in two pieces"])
@pytest.mark.parametrize("status", ["500 Oops", "504 Gateway Timeout", "408 Request Timeout", "499 Closed"])
async def test_behind_an_answer_that_another_may_follow_the_connection_is_not_used_again(
    transport_to: Make, status: str, pieces: int
) -> None:
    more = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if pieces == 1:
            await peer.answer(status, b"[]")
        else:
            await peer.answer(status, b"[", length=2)
            await more.wait()
            peer.writer.write(b"]")
        await peer.rest()

    async with serving(script) as seen:
        transport = transport_to(seen.url)
        for _ in range(2):
            asking = asyncio.create_task(posted(transport))
            await seen.until(lambda: True)
            more.set()
            judged, _ = await asking
            assert judged.verdict is Verdict.SERVER_ERROR

    assert (seen.connections, len(seen.requests)) == (2, 2)


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "429 Too Many Requests"])
async def test_behind_a_refusal_of_the_gateways_own_it_is(transport_to: Make, status: str) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(status)

    async with serving(script) as seen:
        transport = transport_to(seen.url)
        for _ in range(2):
            await posted(transport)

    assert (seen.connections, len(seen.requests)) == (1, 2)


async def test_who_accepts_before_it_can_have_the_body_has_not_accepted_it(transport_to: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.answer("200 OK", APPENDED)
        await asyncio.Event().wait()  # takes nothing of the body

    async with serving(script) as seen:
        judged, _ = await posted(transport_to(seen.url), append(b"[" + b" " * (32 * MIB) + b"]"))

    assert (judged.verdict, judged.attempt.failure) == (Verdict.NO_ANSWER, Failure.EARLY)


async def test_who_accepts_instead_of_asking_for_the_body_was_not_sent_it(transport_to: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.answer("200 OK", APPENDED)
        await peer.rest()

    async with serving(script) as seen:
        judged, stages = await posted(transport_to(seen.url, settings={"expect_continue": True}))

    assert (judged.verdict, judged.attempt.failure, stages) == (
        Verdict.CONNECT_FAILED,
        Failure.EARLY,
        [Stage.CONNECTING],
    )
    assert seen.received == 0


async def test_a_connection_of_which_nothing_can_be_told_is_not_written_to() -> None:
    class Gone:
        should_close = False
        transport = None

    class Writer:
        protocol = Gone()
        transport = None

    writer: Any = Writer()
    upload = Upload(b"[]", lambda _: None, 30.0)
    upload._used.add(writer.protocol)

    with pytest.raises(ConnectionAbortedError):
        await upload.write(writer)

    assert (upload.stale, upload.begun) == (True, False)
