"""A network that is none: every POST is answered by a function of the test's."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs

from mobiz_async import BulkReport, RetryPolicy
from mobiz_async.client import MobizClient
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Attempt, Failure, Stage
from mobiz_async.wire import Operation, Reply, Request

Answering = Callable[[Request, int], "Attempt | Awaitable[Attempt]"]


def replied(status: int, value: Any = None, **headers: str) -> Attempt:
    """The server answered: ``value`` is JSON, or bytes as they are, or nothing."""
    body = value if isinstance(value, bytes) else b"" if value is None else json.dumps(value).encode()
    return Attempt(Stage.SENT, Reply(status, {name.replace("_", "-"): text for name, text in headers.items()}, body))


def failed(stage: Stage = Stage.SENT, failure: Failure = Failure.DISCONNECTED) -> Attempt:
    """No answer came."""
    return Attempt(stage, failure=failure)


def accepted(request: Request, _: int = 0) -> Attempt:
    """Acceptance, as the vendor's reference words it for the operation."""
    match request.operation:
        case Operation.APPEND:
            return replied(200, {"status": 1, "message": "Data Appended"})
        case Operation.CREATE_LIST:
            return replied(200, {"status": 1, "message": "List Created", "list_id": "142874"})
    ids = [{"Message_Id": f"id-{n}", "Status": "SUBMITTED"} for n in range(request.records)]
    return replied(
        200, {"Message_Status": ids, "Reference": "ref-1", "Result_Code": 3, "Result_Description": "Accepted"}
    )


@attrs.define(eq=False)
class Network:
    """A ``Transport`` that asks ``answer(request, n)`` for the n-th POST (from 1) what came of it."""

    answer: Answering = accepted
    posts: list[Request] = attrs.field(factory=list)
    bodies: list[Any] = attrs.field(factory=list)
    times: list[float] = attrs.field(factory=list)
    keep: bool = True
    now: Callable[[], float] = lambda: 0.0
    count: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    closed: int = 0

    async def post(self, request: Request, on_stage: Callable[[Stage], None]) -> Attempt:
        self.count += 1
        if self.keep:
            self.posts.append(request)
            self.bodies.append(json.loads(bytes(request.body)))
        self.times.append(self.now())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            on_stage(Stage.CONNECTING)
            answer = self.answer(request, self.count)
            if inspect.isawaitable(answer):
                on_stage(Stage.SENDING)
                on_stage(Stage.SENT)
                answer = await answer
            else:
                await asyncio.sleep(0)
            on_stage(answer.stage)
            return answer
        finally:
            self.in_flight -= 1

    async def aclose(self) -> None:
        self.closed += 1


def client_on(network: Network, clock: FakeClock | None = None, **settings: Any) -> MobizClient:
    """A client on ``network``, whose clock leaps."""
    clock = clock or FakeClock(auto=True)
    network.now = clock.monotonic
    settings.setdefault("retry", RetryPolicy())
    return MobizClient(transport=network, clock=clock, **settings)


async def agen(items: Any) -> AsyncIterator[Any]:
    """An async source that never waits."""
    for item in items:
        yield item


def counts(report: BulkReport) -> dict[str, int]:
    """The headings of a report that are not empty."""
    names = ("accepted", "rejected", "not_sent", "unknown", "skipped")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


class Gate:
    """Holds requests back until it is opened, and tells when so many are waiting."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = 0
        self._changed = asyncio.Event()

    async def passed(self, answer: Attempt) -> Attempt:
        self.waiting += 1
        self._changed.set()
        try:
            await self.open.wait()
        finally:
            self.waiting -= 1
        return answer

    async def until_waiting(self, count: int) -> None:
        while self.waiting < count:
            self._changed.clear()
            await self._changed.wait()


def numbers(count: int, start: int = 0) -> list[str]:
    """So many different phone numbers."""
    return [f"2782{n:07d}" for n in range(start, start + count)]


def rows(count: int, **fields: Any) -> list[dict[str, Any]]:
    """So many different records."""
    return [{"Number": number, **fields} for number in numbers(count)]
