"""A run may ask for more at once than its client: it gets it for as long as it is going, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from fakes import Gate, Network, accepted, client_on, numbers, rows

from mobiz_async import MobizClient, SourceError

OWN, ASKED = 2, 5


def triggers(count: int) -> list[dict[str, str]]:
    return [{"A": number} for number in numbers(count)]


async def bulk(client: MobizClient, **options: Any) -> Any:
    return await client.send_bulk("1", rows(12), chunk_size=1, **options)


async def many(client: MobizClient, **options: Any) -> Any:
    return await client.trigger_many("key", triggers(12), batch_size=1, **options)


async def finished(run: asyncio.Task[Any], gate: Gate) -> None:
    gate.open.set()
    await run


async def cancelled(run: asyncio.Task[Any], gate: Gate) -> None:
    run.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await run


Kind = Callable[..., Awaitable[Any]]
KINDS = pytest.mark.parametrize("kind", [bulk, many])


class Held:
    """A network that holds all but the first request of each run, and a client of ``OWN`` on it."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.firsts = 0
        self.network = Network(self.answer)
        self.client = client_on(self.network, concurrency=OWN)

    def answer(self, request: Any, _: int) -> Any:
        if self.firsts:
            self.firsts -= 1
            return accepted(request)
        return self.slowly(accepted(request))

    async def slowly(self, answer: Any) -> Any:
        await self.gate.passed(answer)
        for _ in range(50):  # turns of the loop, in which everything goes that may
            await asyncio.sleep(0)
        return answer

    async def going(self, run: Awaitable[Any], in_flight: int) -> asyncio.Task[Any]:
        """Start a run and wait until so many requests are in flight."""
        self.firsts += 1
        task = asyncio.ensure_future(run)
        await self.gate.until_waiting(in_flight)
        return task

    async def most_of_two_default_runs(self) -> int:
        """What the client lets two runs have in flight that ask for nothing."""
        self.network.most_in_flight = self.network.in_flight
        await asyncio.gather(bulk(self.client), bulk(self.client))
        return self.network.most_in_flight


@KINDS
@pytest.mark.parametrize("end", [finished, cancelled])
async def test_after_a_run_that_asked_for_more_the_client_has_its_own_again(kind: Kind, end: Any) -> None:
    held = Held()
    async with held.client:
        run = await held.going(kind(held.client, concurrency=ASKED), ASKED)
        most = held.network.most_in_flight
        await end(run, held.gate)
        held.gate.open.set()

        assert (most, await held.most_of_two_default_runs()) == (ASKED, OWN)


@pytest.mark.parametrize("kind", ["send_bulk", "trigger_many"])
async def test_after_a_run_that_failed_the_client_has_its_own_again(kind: str) -> None:
    held = Held()
    held.gate.open.set()

    def source() -> Iterator[Any]:
        yield from triggers(3) if kind == "trigger_many" else rows(3)
        raise OSError

    size = {"send_bulk": "chunk_size", "trigger_many": "batch_size"}[kind]
    async with held.client:
        with pytest.raises(SourceError):
            await getattr(held.client, kind)("1", source(), concurrency=ASKED, **{size: 1})

        assert await held.most_of_two_default_runs() == OWN


async def test_after_a_run_whose_callback_raised_the_client_has_its_own_again() -> None:
    held = Held()
    held.gate.open.set()

    def progress(_: Any) -> None:
        raise KeyError

    async with held.client:
        with pytest.raises(KeyError):
            await bulk(held.client, concurrency=ASKED, progress=progress)

        assert await held.most_of_two_default_runs() == OWN


async def test_once_a_run_is_over_its_block_asks_for_nothing_more() -> None:
    held = Held()
    held.gate.open.set()
    async with held.client, held.client.bulk("1", rows(12), chunk_size=1, concurrency=ASKED) as run:
        await run.finish()

        assert await held.most_of_two_default_runs() == OWN


@KINDS
@pytest.mark.parametrize("first", [ASKED, ASKED + 3])
async def test_of_runs_that_overlap_the_highest_of_those_going_holds(kind: Kind, first: int) -> None:
    second = 2 * ASKED + 3 - first
    held = Held()
    async with held.client:
        ending = await held.going(kind(held.client, concurrency=first), first)
        staying = await held.going(kind(held.client, concurrency=second), max(first, second))
        both = held.network.most_in_flight
        await cancelled(ending, held.gate)
        await held.gate.until_waiting(second)
        one = held.network.in_flight
        held.gate.open.set()
        await staying

        assert (both, one, await held.most_of_two_default_runs()) == (ASKED + 3, second, OWN)
