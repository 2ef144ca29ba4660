"""Servers that allow R requests a second, and clients that send all they can, on a clock that leaps: no real time."""

from __future__ import annotations

import asyncio
import collections
import math
import random
from collections.abc import Callable
from typing import Protocol

import attrs

from mobiz_async.models import Pace
from mobiz_async.pacing import Lane, Pacer
from mobiz_async.testing import FakeClock
from mobiz_async.verdicts import Verdict


class Gate(Protocol):
    """What counts requests: None lets one through, a number is how many seconds until it would let another."""

    rate: float

    def ask(self, now: float) -> float | None: ...


class FixedWindow:
    """``rate`` a second on average, counted in windows of ``window`` seconds that begin with the clock."""

    def __init__(self, rate, window=1.0):
        self.rate, self.window = rate, window
        self._current, self._count = -1, 0

    def ask(self, now):
        current = math.floor(now / self.window)
        if current != self._current:
            self._current, self._count = current, 0
        if self._count < round(self.rate * self.window):
            self._count += 1
            return None
        return (current + 1) * self.window - now


class SlidingWindow:
    """At most ``rate x window`` in any ``window`` seconds."""

    def __init__(self, rate, window=1.0):
        self.rate, self.window = rate, window
        self._taken = collections.deque()

    def ask(self, now):
        while self._taken and self._taken[0] <= now - self.window:
            self._taken.popleft()
        if len(self._taken) < round(self.rate * self.window):
            self._taken.append(now)
            return None
        return self._taken[0] + self.window - now


class TokenBucket:
    """Refilled at ``rate`` a second, holding one second's worth."""

    def __init__(self, rate):
        self.rate = rate
        self._tokens, self._at = float(rate), 0.0

    def ask(self, now):
        self._tokens = min(self._tokens + (now - self._at) * self.rate, float(self.rate))
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return None
        return (1 - self._tokens) / self.rate


def whole_seconds(wait):
    """``Retry-After`` as the gateway gives it."""
    return float(max(math.ceil(wait), 1))


def none(_wait):
    """A server that says 429 and no more."""
    return None  # noqa: RET501  the value is the point


@attrs.define
class Log:
    """When each request reached the server, and whether it got through."""

    accepted: list[float] = attrs.field(factory=list)
    refused: list[float] = attrs.field(factory=list)

    def rate(self, start, end):
        return sum(start <= at < end for at in self.accepted) / (end - start)

    def share_refused(self, start, end):
        refused = sum(start <= at < end for at in self.refused)
        total = refused + sum(start <= at < end for at in self.accepted)
        return refused / total if total else 0.0


@attrs.frozen
class Scenario:
    gate: Callable[[], Gate]
    latency: tuple[float, float] = (0.05, 0.05)
    retry_after: Callable[[float], float | None] = whole_seconds
    lane: Lane = Lane.BULK
    workers: int = 8
    seconds: float = 50.0
    then: Callable[[Gate], None] | None = None
    then_at: float = math.inf
    pace: Pace = attrs.field(factory=Pace)
    seed: int = 1


def simulate(scenario: Scenario) -> tuple[Log, Pacer]:
    """Run as many workers as asked for, each sending one request after another, until the time is over."""

    async def run():
        clock = FakeClock(auto=True)
        dice = random.Random(scenario.seed)
        pacer, log, gate = Pacer(scenario.pace, clock), Log(), scenario.gate()
        changed = False

        async def worker():
            nonlocal changed
            attempt = 0
            while clock.monotonic() < scenario.seconds:
                permit = await pacer.admit(scenario.lane, 1)
                if clock.monotonic() >= scenario.seconds:
                    permit.settle(None)
                    return
                latency = dice.uniform(*scenario.latency)
                await clock.sleep(latency / 2)
                if not changed and clock.monotonic() >= scenario.then_at:
                    changed = True
                    scenario.then(gate)
                wait = gate.ask(clock.monotonic())
                (log.accepted if wait is None else log.refused).append(clock.monotonic())
                await clock.sleep(latency / 2)
                if wait is None:
                    attempt = 0
                    permit.settle(Verdict.ACCEPTED)
                else:
                    attempt += 1
                    delay = dice.uniform(0, min(1.0 * 2 ** (attempt - 1), 60.0))
                    named = scenario.retry_after(wait)
                    permit.settle(Verdict.THROTTLED, named, None if named is not None else delay)
                    if named is None:
                        await clock.sleep(delay)

        await asyncio.gather(*(worker() for _ in range(scenario.workers)))
        return log, pacer

    return asyncio.run(run())
