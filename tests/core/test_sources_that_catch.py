"""Sources that catch the cancellation of the reader, and tasks that go on after they were cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakes import Network, agen, client_on, counts, rows

from mobiz_async import StopReason
from mobiz_async.journal import MemoryJournal


@pytest.mark.parametrize(("then", "left"), [("goes on", 3), ("returns", 2)])
async def test_a_source_that_catches_its_cancellation_does_not_keep_a_run_from_ending(then: str, left: int) -> None:
    """What it calls its end is none: a journal that took it for one would refuse the whole source ever after."""
    waits = asyncio.Event()

    async def source() -> AsyncIterator[Any]:
        for record in rows(12):
            yield record
        waits.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if then == "returns":
                return
        for record in rows(1_000):
            yield record

    journal = MemoryJournal()
    async with client_on(Network()) as client:
        async with client.bulk("1", source(), chunk_size=10, journal=journal) as run:
            await waits.wait()
            run.stop()
            report = await run.finish()
        assert (counts(report), report.stopped) == ({"accepted": 10, "not_sent": left}, StopReason.ASKED)

        again = await client.send_bulk("1", rows(15), chunk_size=10, journal=journal)

    assert (again.accepted, again.resumed, again.ok) == (15, 10, True)


async def test_a_task_that_went_on_after_it_was_cancelled_reads_its_source_to_the_end() -> None:
    """A last append in its ``except`` block, say."""

    async def last() -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await client.append("1", agen(rows(3)))

    network = Network()
    async with client_on(network) as client:
        task = asyncio.create_task(last())
        await asyncio.sleep(0)
        task.cancel()
        await task

    assert network.bodies == [rows(3)]


async def test_an_append_that_is_cancelled_sends_nothing_of_a_source_that_calls_it_its_end() -> None:
    waits = asyncio.Event()

    async def source() -> AsyncIterator[Any]:
        yield rows(1)[0]
        waits.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    network = Network()
    async with client_on(network) as client:
        task = asyncio.create_task(client.append("1", source()))
        await waits.wait()
        task.cancel()
        await asyncio.wait([task])

    assert (task.cancelled(), network.count) == (True, 0)
