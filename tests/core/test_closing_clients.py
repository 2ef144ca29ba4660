"""What closing a client waits for, and what it leaves alone: loops that are closed, tasks of others, blocks at rest."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from fakes import Gate, Network, accepted, client_on, numbers

from mobiz_async import MobizClient, StopReason

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
        while task() is not None:
            gc.collect()  # which does nothing while it is under way in another thread
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        return "done"

    assert (asyncio.run(asyncio.wait_for(innocent(), 10)), task()) == ("done", None)


# Blocks that are open


async def test_closing_does_not_wait_for_an_open_coalescer_that_has_nothing_in_flight() -> None:
    network = Network()
    client = client_on(network)
    async with client.coalesce("key") as otp:
        await otp.send(ONE)
        await asyncio.wait_for(client.aclose(), 10)

        assert network.closed == 1
        with pytest.raises(RuntimeError, match="closed"):
            await otp.send(ONE)


async def test_closing_sends_what_a_coalescer_has_queued_and_waits_for_all_of_it() -> None:
    gate, network = held_back()
    client = client_on(network)
    options = {"max_batch": 1, "max_batches_in_flight": 1, "max_queue": 2, "max_wait": 100.0}
    async with client.coalesce("key", **options) as otp:
        sending = [asyncio.create_task(otp.send(ONE)) for _ in range(5)]
        await gate.until_waiting(1)
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        gate.open.set()
        receipts = await asyncio.wait_for(asyncio.gather(*sending), 10)
        await asyncio.wait_for(closing, 10)

    assert ([receipt.message_id for receipt in receipts], network.count) == (["id-0"] * 5, 5)


async def test_closing_waits_for_a_batch_whose_callers_are_gone() -> None:
    gate, network = held_back()
    client = client_on(network)
    async with client.coalesce("key") as otp:
        sending = asyncio.create_task(otp.send(ONE))
        await gate.until_waiting(1)
        sending.cancel()
        closing = asyncio.create_task(client.aclose())
        await asyncio.wait([sending])
        assert not closing.done()

        gate.open.set()
        await asyncio.wait_for(closing, 10)

    assert (network.count, network.in_flight, network.closed) == (1, 0, 1)


async def test_closing_does_not_wait_for_an_open_block_whose_run_is_over() -> None:
    network = Network()
    client = client_on(network)
    async with client.bulk("1", numbers(30), chunk_size=10) as run:
        await run.finish()
        await asyncio.wait_for(client.aclose(), 10)

    assert network.closed == 1


async def test_closing_stops_a_run_in_an_open_block_and_waits_for_what_is_in_flight() -> None:
    network = Network(lambda request, n: accepted(request) if n == 1 else gate.passed(accepted(request)))
    gate = Gate()
    client = client_on(network)
    async with client.bulk("1", numbers(100), chunk_size=10, concurrency=2) as run:
        await gate.until_waiting(2)
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        assert (closing.done(), network.closed) == (False, 0)

        gate.open.set()
        await asyncio.wait_for(closing, 10)

    assert run.report is not None
    assert (run.report.accepted, run.report.stopped, network.count) == (30, StopReason.ASKED, 3)
