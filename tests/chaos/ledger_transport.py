"""A server without a network, which knows what it applied, and a loop that can be cut short at any step."""

from __future__ import annotations

import asyncio
import enum
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from mobiz_async.transport import OnStage
from mobiz_async.verdicts import Attempt, Failure, Stage
from mobiz_async.wire import Reply, Request

_OK = b'{"status": 1, "message": "Data Appended"}'
_NO = b'{"status": 0, "message": "Not valid"}'


class Meets(enum.Enum):
    """What an attempt meets."""

    NOTHING = "accepted"
    NO_CONNECTION = "no connection"
    THROTTLED = "429"
    LOST_APPLIED = "applied, and no answer"
    LOST_UNAPPLIED = "not applied, and no answer"
    BROKEN_APPLIED = "applied, and a 500"


class LedgerTransport:
    """Applies atomically: a body with a bad number is refused as a whole. Every stage is followed by a suspension."""

    def __init__(self, script: Iterable[Meets] = (), *, bad: Collection[str] = ()) -> None:
        self.applied: Counter[str] = Counter()
        self.posts = 0
        self._script = iter(script)
        self._bad = frozenset(bad)

    async def post(self, request: Request, on_stage: OnStage) -> Attempt:
        self.posts += 1
        meets = next(self._script, Meets.NOTHING)
        on_stage(Stage.CONNECTING)
        await asyncio.sleep(0)
        if meets is Meets.NO_CONNECTION:
            return Attempt(Stage.CONNECTING, failure=Failure.CONNECT)
        on_stage(Stage.SENDING)
        await asyncio.sleep(0)
        on_stage(Stage.SENT)
        await asyncio.sleep(0)
        numbers = [record["Number"] for record in msgspec.json.decode(bytes(request.body))]
        if meets is Meets.THROTTLED:
            return Attempt(Stage.SENT, Reply(429, {"retry-after": "0"}))
        if not self._bad.isdisjoint(numbers):
            return Attempt(Stage.SENT, Reply(400, {}, _NO))
        if meets is not Meets.LOST_UNAPPLIED:
            self.applied.update(numbers)
        await asyncio.sleep(0)
        if meets in (Meets.LOST_APPLIED, Meets.LOST_UNAPPLIED):
            return Attempt(Stage.SENT, failure=Failure.DISCONNECTED)
        return Attempt(Stage.SENT, Reply(500) if meets is Meets.BROKEN_APPLIED else Reply(200, {}, _OK))

    async def aclose(self) -> None:
        return


class CuttingLoop(asyncio.SelectorEventLoop):
    """Counts its steps, and calls ``cut`` behind the ones in ``at``: between any two steps of any task."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.at: Collection[int] = ()
        self.cut: Callable[[], object] = lambda: None

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        return super().call_soon(self._step, callback, args, context=context)

    def _step(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        callback(*args)
        self.steps += 1
        if self.steps in self.at:
            self.cut()
