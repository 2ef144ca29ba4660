"""Runs of ``sender.py``, and what the sandbox's own log says about them."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Self

import attrs

SENDER = Path(__file__).with_name("sender.py")
KILLED = -signal.SIGKILL


@attrs.frozen
class Order:
    """One run, and when it is killed: ``after`` seconds, or when ``point`` (None: any) is reached ``times`` times."""

    base_url: str
    list_id: str
    journal: str
    records: int
    chunk_size: int
    concurrency: int
    on_unknown: str = "keep"
    after: float | None = None
    point: str | None = None
    times: int = 0


@attrs.frozen
class Ended:
    """How a run ended: its exit status, and its report where it came to one."""

    status: int
    report: dict[str, int] | None = None

    @property
    def killed(self) -> bool:
        return self.status == KILLED


class Senders:
    """``async with Senders() as senders: await senders.run(order)``; one run at a time."""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(SENDER), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def run(self, order: Order) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(attrs.asdict(order)).encode() + b"\n")
        report: dict[str, int] | None = None
        while True:
            line: dict[str, Any] = json.loads(await self._process.stdout.readline())
            if "status" in line:
                return Ended(line["status"], report)
            report = line["report"]


class Truth:
    """The sandbox's fsynced log, read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._applied: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def applied(self, list_id: str) -> Counter[str]:
        """Return how often each number was applied to a list so far."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
            data = data[: data.rfind(b"\n") + 1]
            self._offset += len(data)
            for entry in map(json.loads, data.splitlines()):
                self._applied[entry["list_id"]].update(entry["identities"])
        return self._applied[list_id]
