"""What closing a client waits for, and what it leaves alone: loops that are closed, tasks of others, blocks at rest."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from fakes import Gate, Network, accepted, client_on

from mobiz_async import MobizClient

ONE = {"A": "27821234567"}


def closed_over(gate: Gate, client: MobizClient) -> asyncio.Task[None]:
    """Return a task whose loop was closed over it while it awaited a request in the block of ``client``."""

    async def job() -> None:
        async with client:
            await asyncio.gather(client.trigger("key", ONE), client.trigger("key", ONE))

    loop = asyncio.new_event_loop()
    task = loop.create_task(job())
    loop.run_until_complete(gate.until_waiting(1))
    loop.close()
    return task


def held_back() -> tuple[Gate, Network]:
    gate = Gate()
    return gate, Network(lambda request, n: gate.passed(accepted(request)))


def test_closing_does_not_wait_for_what_was_under_way_in_a_loop_that_is_closed() -> None:
    gate, network = held_back()
    client = client_on(network)
    task = closed_over(gate, client)

    asyncio.run(asyncio.wait_for(client.aclose(), 10))

    assert (task.done(), network.closed) == (False, 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_block_that_is_collected_while_another_loop_runs_cancels_nobody_there() -> None:
    gate, network = held_back()
    abandoned = [closed_over(gate, client_on(network))]
    task = weakref.ref(abandoned[0])
    del gate, network

    async def innocent() -> str:
        abandoned.clear()
        gc.collect()
        for _ in range(10):
            await asyncio.sleep(0)
        return "done"

    assert (asyncio.run(innocent()), task()) == ("done", None)
