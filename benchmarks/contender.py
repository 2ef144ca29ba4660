"""One contender, once, in this process: `python -m benchmarks.contender NAME --records N --port P` prints JSON."""

import argparse
import asyncio
import json
import time
from pathlib import Path

from benchmarks.field import ALL, LIMIT, NOISE, Contender

_TICK = 0.001


def peak_mib() -> float:
    """Return the most resident memory this process has had."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        # Not getrusage: there a child starts from what its parent had when it was forked.
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


async def tick(late: list[float]) -> None:
    """Note how much later than asked for the loop comes round."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _TICK
        await asyncio.sleep(_TICK)
        late.append(loop.time() - due)


async def measure(contender: Contender, records: int, port: int) -> dict[str, float]:
    run = contender.load()
    late: list[float] = []
    ticker = asyncio.create_task(tick(late))
    await asyncio.sleep(10 * _TICK)
    late.clear()
    cpu_before, started = time.process_time(), time.perf_counter()
    sent = await run(records, port)
    elapsed, cpu_used = time.perf_counter() - started, time.process_time() - cpu_before
    await asyncio.sleep(2 * _TICK)
    ticker.cancel()
    assert sent == records, f"{contender.name} sent {sent} of {records}"
    return {
        "rate": records / elapsed,
        "cpu": cpu_used / records * 1e6,
        **stalls(late),
        "memory": peak_mib(),
    }


async def noise() -> dict[str, float]:
    """What this machine adds to anybody's stalls: a loop that works a millisecond at a time, for a second."""
    late: list[float] = []
    ticker = asyncio.create_task(tick(late))
    end = time.perf_counter() + 1
    while (now := time.perf_counter()) < end:
        while time.perf_counter() - now < _TICK:
            pass
        await asyncio.sleep(0)
    ticker.cancel()
    return stalls(late)


def stalls(late: list[float]) -> dict[str, float]:
    late.sort()
    return {"p99": late[int(len(late) * 0.99)] * 1e3, "worst": late[-1] * 1e3}


async def limit(records: int, port: int) -> dict[str, float]:
    from benchmarks.limit import parts  # noqa: PLC0415  a contender's process imports nothing it does not need

    return await parts(records, port)


def main() -> None:
    options = argparse.ArgumentParser(description="One contender, once.")
    options.add_argument("name", choices=[*ALL, LIMIT, NOISE])
    options.add_argument("--records", type=int, required=True)
    options.add_argument("--port", type=int, required=True)
    given = options.parse_args()
    if given.name == NOISE:
        result = asyncio.run(noise())
    elif given.name == LIMIT:
        result = asyncio.run(limit(given.records, given.port))
    else:
        result = asyncio.run(measure(ALL[given.name], given.records, given.port))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
