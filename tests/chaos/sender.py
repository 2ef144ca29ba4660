"""A program that sends in bulk and is killed: each order on its standard input is one run, in a child of its own.

An order is a line of JSON (see ``senders.Order``). The child's last line is its report, then a line with its exit
status follows. The imports are done once and each run is forked off, which makes hundreds of them cheap.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from ground_truth import numbers

from mobiz_async import MobizClient, upload
from mobiz_async.journal import SQLiteJournal
from mobiz_async.journal.protocol import Intent, Settlement
from mobiz_async.models import Pace, RetryPolicy
from mobiz_async.transport import AiohttpTransport, OnStage
from mobiz_async.verdicts import Attempt, Stage
from mobiz_async.wire import Request

Reach = Callable[[str], None]


def fatal(point: str | None, times: int) -> Reach:
    """Return a function that kills this process when ``point`` (None: any) is reached for the ``times``-th time."""
    reached = 0

    def reach(name: str) -> None:
        nonlocal reached
        reached += point in (None, name)
        if times and reached == times:
            os.kill(os.getpid(), signal.SIGKILL)

    return reach


class DeadlyJournal(SQLiteJournal):
    """Passes the named points of a chunk's life that lie in the journal."""

    def __init__(self, path: str, reach: Reach) -> None:
        super().__init__(path)
        self._reach = reach

    async def intend(self, intent: Intent) -> None:
        self._reach("before the intent")
        await super().intend(intent)
        self._reach("after the intent")

    async def settle(self, settlement: Settlement) -> bool:
        settled = await super().settle(settlement)
        self._reach("after the outcome")
        return settled


class DeadlyTransport:
    """Passes the named points that lie on the network."""

    def __init__(self, inner: AiohttpTransport, reach: Reach) -> None:
        self._inner = inner
        self._reach = reach

    async def post(self, request: Request, on_stage: OnStage) -> Attempt:
        def reached(stage: Stage) -> None:
            on_stage(stage)
            if stage is Stage.SENT:
                self._reach("after the body")

        attempt = await self._inner.post(request, reached)
        self._reach("after the reply")
        return attempt

    async def aclose(self) -> None:
        await self._inner.aclose()


class DeadlyWriter:
    """A connection's writer that passes a point behind the first slice of each body."""

    def __init__(self, writer: Any, reach: Reach) -> None:
        self._writer = writer
        self._reach = reach
        self._written = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    async def write(self, data: Any) -> None:
        await self._writer.write(data)
        if not self._written:
            self._written = True
            self._reach("after byte one")


def let_bodies_be_deadly(reach: Reach) -> None:
    """Have bodies go out in several slices, with a point behind the first."""
    upload._SLICE = 512
    write = upload.Upload.write

    async def deadly(self: Any, writer: Any) -> None:
        await write(self, DeadlyWriter(writer, reach))

    upload.Upload.write = deadly


async def send(order: dict[str, Any]) -> dict[str, Any]:
    reach = fatal(order["point"], order["times"])
    let_bodies_be_deadly(reach)
    client = MobizClient(
        "sandbox-api-key",
        "sandbox-subscription-key",
        base_url=order["base_url"],
        retry=RetryPolicy(max_attempts=3, base=0.0),
        pace=Pace(concurrency=order["concurrency"], throttle_pause=0.0),
    )
    client._deliverer.transport = DeadlyTransport(client._deliverer.transport, reach)
    async with client:
        report = await client.send_bulk(
            order["list_id"],
            numbers(order["records"]),
            chunk_size=order["chunk_size"],
            journal=DeadlyJournal(order["journal"], reach),
            on_unknown=order["on_unknown"],
        )
    counts = ("read", "accepted", "rejected", "not_sent", "unknown", "requests")
    return {"report": {name: getattr(report, name) for name in counts}}


def run(order: dict[str, Any]) -> None:
    """One run, in a child that ends without going back to the parent's code."""
    status = 1
    try:
        say(asyncio.run(send(order)))
        status = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        os._exit(status)


def say(value: dict[str, Any]) -> None:
    os.write(1, json.dumps(value).encode() + b"\n")


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            run(order)
        if order["after"] is not None:
            select.select([], [], [], order["after"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        say({"status": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    main()
