"""How much of a rate limit gets through, over real sockets and in real time.

    python benchmarks/pacing_bench.py                20 requests/s, doubled after 45 s; takes 75 s
    python benchmarks/pacing_bench.py --rate 50

A bulk run sends all it can to a sandbox that lets so many requests through in any second and answers 429 beyond. What
the sandbox has seen is what is counted.
"""

import argparse
import asyncio
import itertools
from collections.abc import Iterator, Sequence

from mobiz_async import MobizClient
from mobiz_async.sandbox import RateLimit, Sandbox, SeenRequest

SETTLED, BEST = 20.0, 5.0
"""Seconds after which a rate is held to, and over which the best rate after a change is taken."""
THROTTLED = 429


def numbers() -> Iterator[str]:
    return (f"2771{number:07d}" for number in itertools.count())


def got_through(seen: Sequence[SeenRequest], start: float, end: float) -> float:
    """Return requests a second that were applied."""
    return sum(request.applied and start <= request.time < end for request in seen) / (end - start)


def refused(seen: Sequence[SeenRequest], start: float, end: float) -> float:
    """Return the share of requests that were answered 429."""
    within = [request for request in seen if start <= request.time < end]
    return sum(request.status == THROTTLED for request in within) / max(len(within), 1)


async def measure(rate: int, double_at: float, seconds: float) -> None:
    limit = RateLimit(requests=rate, window=1.0)
    async with Sandbox(rate_limit=limit) as sandbox:

        async def double() -> None:
            await asyncio.sleep(double_at)
            limit.requests = 2 * rate

        doubling = asyncio.create_task(double())
        async with MobizClient("sandbox-api-key", "sandbox-subscription-key", base_url=sandbox.base_url) as mobiz:
            report = await mobiz.send_bulk("1", numbers(), chunk_size=10, deadline=seconds)
        await doubling
        seen = sandbox.requests
    began = seen[0].time
    seen = [request for request in seen if request.time - began < seconds]
    changed = began + double_at
    best = max(
        got_through(seen, changed + second, changed + second + BEST)
        for second in range(int(seconds - double_at - BEST) + 1)
    )
    print(f"{rate} requests/s allowed, {2 * rate} from {double_at:.0f} s on; accepted {report.accepted:,} records")
    for label, start, end in (("0", began, began + SETTLED), (f"{SETTLED:.0f}", began + SETTLED, changed)):
        share = got_through(seen, start, end) / rate
        print(
            f"from {label:>2} s to {end - began:.0f} s: {share:.0%} of the rate through, "
            f"{refused(seen, start, end):.1%} answered 429"
        )
    print(
        f"within {seconds - double_at:.0f} s of the doubling: {best / (2 * rate):.0%} of the new rate through "
        f"(the best {BEST:.0f} s), {refused(seen, changed, began + seconds):.1%} answered 429"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rate", type=int, default=20, help="requests a second that are let through at first")
    options.add_argument("--double-at", type=float, default=45.0, help="seconds")
    options.add_argument("--seconds", type=float, default=75.0, help="the whole run")
    chosen = options.parse_args()
    asyncio.run(measure(chosen.rate, chosen.double_at, chosen.seconds))


if __name__ == "__main__":
    main()
