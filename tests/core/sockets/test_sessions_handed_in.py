"""A session that was handed in and cannot be used: said at the door, before anything begins, never as an outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from mobiz_async import MobizClient, NotSentError, StopReason
from mobiz_async.sandbox import Sandbox

Make = Callable[..., MobizClient]

TRIGGER = "sandbox-trigger"
THANDI = {"A": "27821234567", "B": "Thandi"}
PEOPLE = [{"A": f"2782{n:07d}", "Number": f"2782{n:07d}"} for n in range(60)]

RUNS: dict[str, Callable[[MobizClient], Any]] = {
    "send_bulk": lambda client: client.send_bulk("1", PEOPLE, chunk_size=10, concurrency=1),
    "trigger_many": lambda client: client.trigger_many(TRIGGER, PEOPLE, batch_size=10, concurrency=1),
}
USES: dict[str, Callable[[MobizClient], Any]] = {
    **RUNS,
    "entering": lambda client: client.__aenter__(),
    "trigger": lambda client: client.trigger(TRIGGER, THANDI),
    "schedule": lambda client: client.schedule(TRIGGER, THANDI, send_time="later"),
    "schedule_many": lambda client: client.schedule_many(TRIGGER, PEOPLE, send_time="later"),
    "create_list": lambda client: client.create_list("Spring", {"Number": "msisdn"}),
    "append": lambda client: client.append("1", PEOPLE),
    "bulk": lambda client: client.bulk("1", PEOPLE).__aenter__(),
    "coalesce": lambda client: client.coalesce(TRIGGER).__aenter__(),
}
ADVICE = "hand in one of the client's own event loop, and close it after the client"


@pytest.fixture
async def session_of_another_loop() -> AsyncIterator[aiohttp.ClientSession]:
    elsewhere = asyncio.new_event_loop()

    async def made() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    session = await asyncio.to_thread(elsewhere.run_until_complete, made())
    yield session
    await asyncio.to_thread(elsewhere.run_until_complete, session.close())
    elsewhere.close()


@pytest.mark.parametrize("use", USES)
async def test_a_session_of_another_event_loop_is_a_clear_error(
    client_of: Make, sandbox: Sandbox, session_of_another_loop: aiohttp.ClientSession, use: str
) -> None:
    with pytest.raises(RuntimeError, match=f"^the session belongs to another event loop: {ADVICE}$"):
        await USES[use](client_of(sandbox, session=session_of_another_loop))

    assert len(sandbox.requests) == 0


@pytest.mark.parametrize("use", USES)
async def test_a_closed_session_is_a_clear_error(client_of: Make, sandbox: Sandbox, use: str) -> None:
    session = aiohttp.ClientSession()
    await session.close()

    with pytest.raises(RuntimeError, match=f"^the session is closed: {ADVICE}$"):
        await USES[use](client_of(sandbox, session=session))

    assert len(sandbox.requests) == 0


@pytest.mark.parametrize("run", RUNS)
async def test_a_session_that_is_closed_under_a_run_ends_it_and_hides_nothing_of_what_was_accepted(
    client_of: Make, sandbox: Sandbox, run: str
) -> None:
    session = aiohttp.ClientSession()
    closing: list[asyncio.Task[None]] = []

    def close(_: Any) -> None:
        closing.append(asyncio.create_task(session.close()))

    client = client_of(sandbox, session=session, events=[close])
    report = await RUNS[run](client)
    await asyncio.gather(*closing)

    assert (report.stopped, len(sandbox.requests)) == (StopReason.UNREACHABLE, 1)
    assert (report.accepted, report.rejected, report.unknown) == (10, 0, 0)
    with pytest.raises(NotSentError, match="the session is closed"):
        report.raise_for_failures()


async def test_a_session_that_is_closed_under_a_coalescer_is_told_to_its_callers(
    client_of: Make, sandbox: Sandbox
) -> None:
    session = aiohttp.ClientSession()
    client = client_of(sandbox, session=session)
    async with client.coalesce(TRIGGER) as pins:
        await session.close()
        with pytest.raises(NotSentError, match="the session is closed"):
            await pins.send(THANDI)
