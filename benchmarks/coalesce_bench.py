"""What coalescing gains when many send at once, and what it costs one that sends alone.

    python benchmarks/coalesce_bench.py              20,000 messages; takes forty seconds

20,000 tasks send one message each through `coalesce`, and the ids that they get are counted; the same messages go as
single triggers over 100 connections. Then single messages go one after another, in turn coalesced and not: what is
added is at most `max_wait`, and whatever else stands here. The server is a sandbox in a process of its own.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from mobiz_async import MobizClient, TriggerReceipt
from mobiz_async.sandbox import SandboxProcess

TRIGGER_KEY = "sandbox-trigger"
CONNECTIONS = 100
MAX_WAIT = 0.01

Send = Callable[[dict[str, str]], Awaitable[TriggerReceipt]]


def fields(number: int) -> dict[str, str]:
    return {"A": f"2771{number:07d}", "B": "Hello, your order is on its way"}


async def from_as_many_tasks(send: Send, count: int) -> tuple[float, int]:
    """Return seconds, and how many different ids the tasks got."""
    begun = time.perf_counter()
    receipts = await asyncio.gather(*[send(fields(number)) for number in range(count)])
    return time.perf_counter() - begun, len({receipt.message_id for receipt in receipts} - {None})


async def over_connections(send: Send, count: int) -> float:
    """Return seconds."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await send(fields(number))

    begun = time.perf_counter()
    await asyncio.gather(*[work() for _ in range(CONNECTIONS)])
    return time.perf_counter() - begun


async def milliseconds(send: Send, number: int) -> float:
    begun = time.perf_counter()
    await send(fields(number))
    return (time.perf_counter() - begun) * 1e3


async def measure(count: int, lonely: int, rounds: int) -> None:
    async with (
        SandboxProcess() as sandbox,
        MobizClient("sandbox-api-key", "sandbox-subscription-key", base_url=sandbox.base_url) as mobiz,
        mobiz.coalesce(TRIGGER_KEY, max_wait=MAX_WAIT) as queue,
    ):

        async def single(message: dict[str, str]) -> TriggerReceipt:
            return await mobiz.trigger(TRIGGER_KEY, message)

        runs = [
            (*await from_as_many_tasks(queue.send, count), await over_connections(single, count)) for _ in range(rounds)
        ]
        pairs = [
            (await milliseconds(single, number), await milliseconds(queue.send, number)) for number in range(lonely)
        ]
    coalesced, singly = (statistics.median(run[place] for run in runs) for place in (0, 2))
    ids = min(run[1] for run in runs)
    print(f"{count:,} tasks, coalesced: {count / coalesced:,.0f} messages/s, {ids:,} different ids")
    print(f"single triggers, {CONNECTIONS} connections: {count / singly:,.0f} messages/s")
    print(f"coalesced / single: {statistics.median(run[2] / run[0] for run in runs):.1f} (median of {rounds})")
    added = sorted(after - before for before, after in pairs)
    print(
        f"{lonely:,} messages one after another: coalescing adds {statistics.median(added):.1f} ms (median), "
        f"{added[int(len(added) * 0.99)]:.1f} ms (p99), at max_wait {MAX_WAIT * 1e3:.0f} ms"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--messages", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--lonely", type=int, default=500, help="messages that are sent one after another")
    chosen = options.parse_args()
    asyncio.run(measure(chosen.messages, chosen.lonely, chosen.rounds))


if __name__ == "__main__":
    main()
