"""What mobiz_async costs the service it lives in.

    python benchmarks/service_bench.py            both parts
    python benchmarks/service_bench.py handler    a web handler at 500 requests/s, without and beside a bulk run
    python benchmarks/service_bench.py trigger    the CPU of one `trigger` against a bare `session.post`

The service, the server it sends to and the visitors who load it are a process each, all on this machine; on one with
two cores they take each other's time, so stalls and latencies are upper bounds; ``own`` is the part of a stall in which
the service itself was at work. Ratios are medians within one run.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from mobiz_async import MobizClient

RATE = 500
VISITORS = 50
TRIGGER_KEY = "one-time-pins"
FIELDS = {"A": "27821234567", "B": "Thandi", "C": "Hello, your order is on its way"}
APPENDED = b'{"status": 1, "message": "Data Appended"}'
TRIGGERED = (
    b'{"Message_Status": [{"Message_Id": "0b4f6c2e", "Status": "SUBMITTED"}], "Reference": "9a1c77d0", '
    b'"Result_Code": 3, "Result_Description": "Accepted"}'
)


# The server that is sent to, in a process of its own


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            left = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            while left:
                left -= len(await reader.read(min(left, 1 << 20)))
            body = TRIGGERED if b"TriggerMessage" in head.split(b"\r\n")[0] else APPENDED
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def sink() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 22)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started it is gone


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run this file in a process of its own, which ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    try:
        yield process
    finally:
        process.communicate(timeout=30)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


# The visitors: so many requests a second, whether or not the last one was answered


async def visit(port: int, seconds: float) -> None:
    """Print [when it was due, seconds until the answer] of each request, times by the machine's monotonic clock."""
    seen: list[tuple[float, float]] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=VISITORS)) as session:

        async def one(due: float) -> None:
            async with session.get(f"http://127.0.0.1:{port}/") as response:
                await response.read()
            seen.append((due, time.monotonic() - due))

        print("here", flush=True)
        begin = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds * RATE)):
                due = begin + number / RATE
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                group.create_task(one(due))
    print(json.dumps(seen))


# The service


async def tick(late: list[float], own: list[float]) -> None:
    """Note how late a 1 ms timer comes, in milliseconds, and how much of that this thread was at work."""
    loop = asyncio.get_running_loop()
    while True:
        worked = time.thread_time()
        due = loop.time() + 0.001
        await asyncio.sleep(0.001)
        late.append((loop.time() - due) * 1e3)
        own.append(min(late[-1], (time.thread_time() - worked) * 1e3))


async def handle(_: web.Request) -> web.Response:
    return web.json_response({"ok": True})


def people(count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        yield {
            "Number": f"2771{number % 10_000_000:07d}",
            "Message": "Hello, your order is on its way",
            "ContactId": str(number),
            "Contact_Email": f"user{number}@example.com",
        }


async def stalls(work: Awaitable[object]) -> dict[str, float]:
    late: list[float] = []
    own: list[float] = []
    ticking = asyncio.create_task(tick(late, own))
    begun = time.monotonic()
    await work
    end = time.monotonic()
    ticking.cancel()
    late.sort()
    own.sort()
    return {
        "begin": begun,
        "end": end,
        "stall_p99": share(late, 0.99),
        "stall_worst": late[-1],
        "own_p99": share(own, 0.99),
        "own_worst": own[-1],
    }


async def service(port: int, records: int, alone: float) -> None:
    """Answer visitors for ``alone`` seconds, then during a bulk run; print when which began and how the loop fared."""
    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.readline)  # "go": the visitors are there
    result: dict[str, dict[str, float]] = {}
    async with MobizClient("k" * 16, "s" * 16, base_url=f"http://127.0.0.1:{port}") as mobiz:
        await mobiz.send_bulk("1", people(20_000))
        result["alone"] = await stalls(asyncio.sleep(alone))
        result["beside"] = await stalls(mobiz.send_bulk("1", people(records)))
    print(json.dumps(result), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def share(values: list[float], part: float) -> float:
    return values[min(len(values) - 1, int(len(values) * part))] if values else 0.0


def measure_handler(records: int, alone: float) -> dict[str, float]:
    """Return the figures of one run: stalls and latencies in milliseconds, without the bulk run and beside it."""
    with (
        started("sink") as server,
        started("service", "--port", line_of(server).strip(), "--records", str(records), "--alone", str(alone)) as own,
    ):
        seconds = alone + records / 200_000 + 3
        with started("visit", "--port", line_of(own).strip(), "--seconds", str(seconds)) as visitors:
            assert own.stdin is not None
            line_of(visitors)
            own.stdin.write("go\n")
            own.stdin.flush()
            fared = json.loads(line_of(own))
            seen = json.loads(line_of(visitors))
    figures: dict[str, float] = {}
    for phase in ("alone", "beside"):
        stalled = fared[phase]
        begin, end = stalled.pop("begin"), stalled.pop("end")
        waits = sorted(wait * 1e3 for due, wait in seen if begin <= due <= end - 0.05)
        measured = {"requests": len(waits), "p50": share(waits, 0.5), "p99": share(waits, 0.99), "seconds": end - begin}
        figures |= {f"{phase}_{name}": value for name, value in {**measured, **stalled}.items()}
    return figures


def handler(records: int, rounds: int, alone: float) -> None:
    runs = [measure_handler(records, alone) for _ in range(rounds)]
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print(f"a handler at {RATE} requests/s, without and beside a run of {records:,} records (median of {rounds})")
    columns = ("requests", "p50", "p99", "stall_p99", "stall_worst", "own_p99", "own_worst", "seconds")
    print(" " * 8 + "".join(f"{column:>13}" for column in columns) + "   (times in ms)")
    for phase in ("alone", "beside"):
        print(f"{phase:8}" + "".join(f"{medians[f'{phase}_{column}']:>13.2f}" for column in columns))
    print(f"p99 beside / alone: {statistics.median(run['beside_p99'] / run['alone_p99'] for run in runs):.2f}")


# One trigger


async def cpu(send: Callable[[], Awaitable[object]], count: int) -> float:
    """Return the microseconds of this process's CPU that one ``send`` costs."""
    begun = time.process_time()
    for _ in range(count):
        await send()
    return (time.process_time() - begun) / count * 1e6


async def measure_trigger(port: int, rounds: int, count: int) -> tuple[list[float], list[float]]:
    """Return the CPU of a bare post and of a trigger, in microseconds, measured in turn."""
    address = f"http://127.0.0.1:{port}"
    headers = {"Ocp-Apim-Subscription-Key": "s" * 16, "Content-Type": "application/json"}
    body = json.dumps(FIELDS).encode()
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        MobizClient("k" * 16, "s" * 16, base_url=address) as mobiz,
    ):

        async def bare() -> None:
            query = {"trigger_key": TRIGGER_KEY, "api_key": "k" * 16}
            url = f"{address}/TriggerMessage/manual/paths/invoke"
            async with session.post(url, params=query, data=body) as response:
                assert (await response.json())["Result_Code"] == 3  # noqa: PLR2004  the vendor's "accepted"

        async def trigger() -> None:
            assert (await mobiz.trigger(TRIGGER_KEY, FIELDS)).message_id

        await cpu(bare, count)
        await cpu(trigger, count)
        pairs = [(await cpu(bare, count), await cpu(trigger, count)) for _ in range(rounds)]
    return [first for first, _ in pairs], [second for _, second in pairs]


def trigger(rounds: int) -> None:
    with started("sink") as server:
        bare, ours = asyncio.run(measure_trigger(int(line_of(server)), rounds, 300))
    print(
        f"CPU of one message: session.post {statistics.median(bare):.0f} us, trigger {statistics.median(ours):.0f} us"
    )
    print(f"trigger / session.post: {statistics.median(map(lambda a, b: a / b, ours, bare)):.2f}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "part", nargs="?", default="all", choices=("all", "handler", "trigger", "sink", "service", "visit")
    )
    options.add_argument("--records", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options.add_argument("--alone", type=float, default=4.0, help="seconds without the bulk run")
    options.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    match chosen.part:
        case "sink":
            asyncio.run(sink())
        case "service":
            asyncio.run(service(chosen.port, chosen.records, chosen.alone))
        case "visit":
            asyncio.run(visit(chosen.port, chosen.seconds))
    if chosen.part in ("all", "handler"):
        handler(chosen.records, chosen.rounds, chosen.alone)
    if chosen.part in ("all", "trigger"):
        trigger(chosen.rounds * 3)


if __name__ == "__main__":
    main()
