"""Connections kept, given up and cancelled; sessions of one's own."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest
from broken import (
    APPENDED,
    Peer,
    obliging,
    serving,
)
from posting import MIB, Make, SlowHost, append, posted, told

from mobiz_async.models import Outcome
from mobiz_async.sandbox import Fault, Faults, Sandbox
from mobiz_async.verdicts import Failure, Stage, Verdict

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


# Cancelling, and the tail


async def test_cancelled_while_connecting_nothing_was_sent(transport_to: Make) -> None:
    resolver = SlowHost()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=resolver)) as session:
        stages: list[Stage] = []
        task = asyncio.create_task(
            transport_to("http://nowhere.invalid", session=session).post(append(), stages.append)
        )
        await resolver.asked.wait()
        task.cancel()
        await asyncio.wait([task])

    assert (task.cancelled(), stages) == (True, [Stage.CONNECTING])


async def slowly(peer: Peer) -> None:
    await peer.head()
    peer.seen.received += len(await peer.reader.readexactly(1))
    peer.seen.note(b"", b"")
    await peer.seen.ended.wait()
    await peer.rest()
    peer.seen.note(b"", b"")


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_the_rest_of_a_body_does_not_trickle_out_after_the_caller_was_told(transport_to: Make, how: str) -> None:
    """What the peer's kernel holds cannot be called back; what is still here can."""
    size = 32 * MIB
    async with serving(slowly) as seen:
        stages: list[Stage] = []
        transport = transport_to(seen.url, total=0.2 if how == "timed out" else 60)
        task = asyncio.create_task(transport.post(append(b" " * size), stages.append))
        await seen.until(lambda: len(seen.requests) == 1)
        if how == "cancelled":
            task.cancel()
        await asyncio.wait([task])
        seen.ended.set()
        await seen.until(lambda: len(seen.requests) == 2)

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


async def test_a_child_that_was_forked_sends_nothing_of_its_parents(
    transport_to: Make, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``sys.exit()`` in a child leaves by way of the loop, which runs there what is under way in the parent."""
    transport = transport_to(sandbox.base_url)
    await posted(transport)
    monkeypatch.setattr("os.getpid", lambda: -1)

    judged, _ = await posted(transport)

    assert told(judged) == (Stage.CONNECTING, Failure.DISCONNECTED, Verdict.CONNECT_FAILED)
    assert len(sandbox.requests) == 1


async def test_through_a_session_that_has_been_closed_nothing_is_sent(transport_to: Make, sandbox: Sandbox) -> None:
    async with aiohttp.ClientSession() as session:
        transport = transport_to(sandbox.base_url, session=session)
        await posted(transport)

    judged, _ = await posted(transport)

    assert told(judged) == (Stage.QUEUED, Failure.SESSION_CLOSED, Verdict.NOT_STARTED)
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize("handed_in", [True, False])
async def test_through_a_session_of_another_event_loop_nothing_is_sent(
    transport_to: Make, sandbox: Sandbox, handed_in: bool
) -> None:
    session = aiohttp.ClientSession() if handed_in else None
    transport = transport_to(sandbox.base_url, session=session)
    await posted(transport)

    judged, _ = await asyncio.to_thread(asyncio.run, posted(transport))
    if session is not None:
        await session.close()

    assert told(judged) == (Stage.QUEUED, Failure.SESSION_ELSEWHERE, Verdict.NOT_STARTED)
    assert len(sandbox.requests) == 1


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
