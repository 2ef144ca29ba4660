"""How many at once and how fast: one pacer per client, shared by everything that it sends.

A request asks for a ``Permit`` before each attempt and settles it with what the attempt proved. A server that never
throttles is never held back: without a 429 the pacer is a counter. With one, three things happen: the whole client is
silent for as long as the server said, fewer requests go at once, and the rate that the server lets through is learnt,
kept just below, tried upwards from time to time, and forgotten when nobody has had to wait for it for long.

Single triggers have a lane of their own, with its own slots, and never wait for a bulk run: of a rate that is capped
or learnt they take their part first, and the bulk run gets what is left. While the breaker is open, bulk requests wait
and go as probes, one at a time. Single triggers pass: they are bounded by their own retries, somebody is waiting for
their answer, and that answer, whatever it says, closes the breaker.
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
import math
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from mobiz_async.clock import Clock
from mobiz_async.limits import Breaker, BreakerState, ConcurrencyLimit, LearntRate, Meter
from mobiz_async.models import Outcome, Pace
from mobiz_async.queueing import Waiters
from mobiz_async.verdicts import Verdict

__all__ = ["Lane", "Pacer", "Permit"]

_CROWD = 3
"""At once, waiting or on their way: with fewer the client may well have had no more to send."""


class Lane(enum.Enum):
    """Which queue a request stands in."""

    SINGLE = "single"
    """One trigger somebody waits for."""
    BULK = "bulk"
    """A chunk or batch of a run."""


class Permit:
    """Leave to make one attempt. ``settle`` it exactly once, whatever becomes of the attempt."""

    __slots__ = ("_epoch", "_lane", "_pacer", "_settled", "probe", "records")

    def __init__(self, pacer: Pacer, lane: _LaneState, records: int, epoch: int, *, probe: bool = False) -> None:
        """Made by ``Pacer.admit``."""
        self._pacer = pacer
        self._lane = lane
        self._epoch = epoch
        self._settled = False
        self.records: int = records
        self.probe: bool = probe
        """Whether this attempt tries an open breaker; it says nothing about the request it carries."""

    def settle(self, verdict: Verdict | None, retry_after: float | None = None, delay: float | None = None) -> None:
        """Free the slot and learn from ``verdict``; None where nothing was learnt, as when cancelled.

        ``retry_after`` is what the reply said, in seconds; ``delay`` the backoff that was chosen where it said nothing.
        """
        if self._settled:
            raise RuntimeError("this permit has been settled already")
        self._settled = True
        self._pacer._settle(self, self._lane, self._epoch, verdict, retry_after, delay)  # noqa: SLF001  its own pacer


@attrs.define(eq=False)
class _LaneState:
    lane: Lane
    limit: ConcurrencyLimit
    requests: list[Meter]
    records: list[Meter]
    in_flight: int = 0
    waiters: Waiters[Permit] = attrs.field(factory=Waiters)


class Pacer:
    """Gives out permits. Everything but ``admit`` is synchronous; use it from one event loop."""

    def __init__(self, pace: Pace, clock: Clock, *, longest_pause: float = math.inf) -> None:
        """Start with every limit at its upper bound.

        When the server asks for a pause of more than ``longest_pause`` seconds, nobody waits for its end: for that long
        requests are turned away at once, and then they may ask it again.
        """
        self.pace = pace
        self._clock = clock
        self._breaker = Breaker(pace.breaker_threshold, base=pace.probe_base, cap=pace.probe_cap)
        self._learnt = LearntRate()
        self._learnt_meters: dict[Lane, Meter] = {}
        self._single = self._lane(Lane.SINGLE, pace)
        self._bulk = self._lane(Lane.BULK, pace)
        self._lanes = {Lane.SINGLE: self._single, Lane.BULK: self._bulk}
        # Nothing but slots to wait for: no pause, no rate, no outage. It spares the clock, so it may lag behind.
        self._calm = not self._bulk.requests and not self._bulk.records
        self._longest_pause = longest_pause
        self._paused_until = -math.inf
        self._refused_until = -math.inf
        self._closed = False
        self._held_back_at = -math.inf
        self._epoch = 0
        self._tickets = 0
        self._timer: asyncio.Task[None] | None = None
        self._timer_due = math.inf

    @staticmethod
    def _lane(lane: Lane, pace: Pace) -> _LaneState:
        ceiling = pace.concurrency if lane is Lane.BULK else pace.single_concurrency
        return _LaneState(
            lane,
            ConcurrencyLimit(ceiling, increase=pace.increase, decrease=pace.decrease),
            [] if pace.requests_per_second is None else [Meter(pace.requests_per_second)],
            [] if pace.records_per_second is None else [Meter(pace.records_per_second)],
        )

    @property
    def in_flight(self) -> int:
        """Permits given out and not settled, both lanes."""
        return sum(lane.in_flight for lane in self._lanes.values())

    @property
    def waiting(self) -> int:
        """Calls of ``admit`` that wait, both lanes."""
        return sum(len(lane.waiters) for lane in self._lanes.values())

    @property
    def limit(self) -> int:
        """How many bulk requests may be in flight now."""
        return self._lanes[Lane.BULK].limit.value

    @property
    def single_limit(self) -> int:
        """How many single triggers may be in flight now."""
        return self._lanes[Lane.SINGLE].limit.value

    @property
    def learnt_rate(self) -> float | None:
        """Requests a second that the server seems to allow, as of the last request; None where nothing is known."""
        return self._learnt.rate

    @property
    def paused_until(self) -> float:
        """The clock's monotonic time before which nothing goes out; -inf when there never was a pause."""
        return self._paused_until

    @property
    def refused_for(self) -> float:
        """Seconds for which requests are turned away, as the server asked for too long a pause; 0: they are not."""
        return max(self._refused_until - self._clock.monotonic(), 0.0)

    @property
    def breaker(self) -> BreakerState:
        """Whether the server can be reached, as far as is known."""
        return self._breaker.state

    @contextmanager
    def allowing(self, concurrency: int) -> Iterator[None]:
        """Let up to ``concurrency`` bulk requests be in flight while the block, a run, lasts; of several, the highest.

        Fewer than the client's own are the run's own business. What is in flight as the block ends is left alone.
        """
        with self._bulk.limit.allowing(concurrency):
            self._pump()
            yield

    async def admit(self, lane: Lane, records: int) -> Permit | None:
        """Return a permit once the pause, the breaker, the rates and a slot allow it; first come, first served.

        None: there is none to wait for, as the pacer was closed, or the server asked for a pause longer than any.
        ``records`` is how many the request carries. Cancelling leaves nothing behind.
        """
        at_once = self.admit_now(lane, records)
        if at_once is not None:
            return at_once
        state = self._lanes[lane]
        self._tickets += 1
        ticket = self._tickets
        while not self._closed and not self.refused_for:
            future: asyncio.Future[Permit | None] = asyncio.get_running_loop().create_future()
            state.waiters.enter(future, ticket, records)
            self._pump()
            try:
                permit = await future
            except asyncio.CancelledError:
                given = None if state.waiters.pop(future, None) or future.cancelled() else future.result()
                if given is not None:
                    self._withdraw(given, state)
                self._pump()
                raise
            if permit is None or self._clock.monotonic() >= self._paused_until:
                return permit
            # The server asked for silence between the permit and this task's turn: back to the head of the queue.
            self._withdraw(permit, state)
        return None

    def admit_now(self, lane: Lane, records: int) -> Permit | None:
        """Return what ``admit`` would return without waiting, or None where it would wait."""
        state = self._bulk if lane is Lane.BULK else self._single
        if state.waiters:
            return None
        if self._calm and state.in_flight < state.limit.value:
            state.in_flight += 1
            return Permit(self, state, records, self._epoch)
        now = self._clock.monotonic()
        if self._learnt.remembers and not self.in_flight:
            # A quiet time counts as well, and must have counted before somebody is held back.
            self._learnt.pass_time(now, held_back=self._held_back(now))
            self._apply_rate()
        return self._grant(state, records, now) if self._due(state, now) <= now else None

    def pause(self, seconds: float) -> None:
        """Let nothing out for ``seconds`` from now, in either lane; a longer pause in force stays."""
        self._calm = False
        self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)

    def close(self) -> None:
        """Turn away those who wait, and from now on whoever would have to."""
        self._closed = True
        self._turn_away()
        self._arm(math.inf)

    def _turn_away(self) -> None:
        for state in self._lanes.values():
            state.waiters.turn_away()

    def _due(self, state: _LaneState, now: float) -> float:
        """When the lane's next request may go, as far as is known; inf when only a settled permit can tell."""
        if self._paused_until > now:
            return self._paused_until
        if state.in_flight >= state.limit.value:
            return math.inf
        due = self._breaker.ready_at if state.lane is Lane.BULK else -math.inf
        for meter in (*state.requests, *state.records):
            due = max(due, meter.ready_at)
        if due > now and (learnt := self._learnt_meters.get(state.lane)) is not None and learnt.ready_at >= due:
            self._held_back_at = now
        return due

    def _grant(self, state: _LaneState, records: int, now: float) -> Permit:
        state.in_flight += 1
        self._charge(state, records, now)
        breaker = self._breaker
        self._calm = (
            breaker.state is BreakerState.CLOSED
            and not self._bulk.requests
            and not self._bulk.records
            and self._paused_until <= now
        )
        probe = state.lane is Lane.BULK and breaker.begin()
        return Permit(self, state, records, self._epoch, probe=probe)

    def _charge(self, state: _LaneState, records: int, now: float) -> None:
        # Single triggers wait for each other only, but what they take is missing to the bulk lane.
        for charged in (state,) if state.lane is Lane.BULK else self._lanes.values():
            for meter in charged.requests:
                meter.take(now, 1)
            for meter in charged.records:
                meter.take(now, records)

    def _refund(self, state: _LaneState, records: int, requests: int) -> None:
        for charged in (state,) if state.lane is Lane.BULK else self._lanes.values():
            for meter in charged.requests:
                meter.give_back(requests)
            for meter in charged.records:
                meter.give_back(records)

    def _withdraw(self, permit: Permit, state: _LaneState) -> None:
        """Take back a permit that was never used."""
        state.in_flight -= 1
        self._refund(state, permit.records, 1)
        if permit.probe:
            self._breaker.withdrawn()

    def _settle(
        self,
        permit: Permit,
        state: _LaneState,
        epoch: int,
        verdict: Verdict | None,
        retry_after: float | None,
        delay: float | None,
    ) -> None:
        now = self._clock.monotonic()
        if verdict is Verdict.ACCEPTED:
            self._breaker.answered()
            state.limit.accepted(state.in_flight)
            self._learn(now, late=epoch != self._epoch, crowded=state.in_flight + len(state.waiters) >= _CROWD)
        elif verdict is Verdict.THROTTLED:
            self._breaker.answered()
            self._throttled(state, epoch, now, retry_after, delay)
        elif verdict is None or verdict is Verdict.NOT_STARTED:
            if permit.probe:
                self._breaker.withdrawn()
        elif verdict is Verdict.CONNECT_FAILED:
            self._breaker.failed(now, probe=permit.probe)
            self._calm = False
        elif verdict is Verdict.NO_ANSWER:
            # There was a connection, so the breaker does not count it; there was no answer, so a probe has failed.
            if permit.probe:
                self._breaker.failed(now, probe=True)
        else:
            self._breaker.answered()
        state.in_flight -= 1
        if verdict is not None and verdict.outcome is Outcome.NOT_SENT:
            self._refund(state, permit.records, 0)
        if self._bulk.waiters or self._single.waiters:
            self._pump()

    def _learn(self, now: float, *, late: bool, crowded: bool) -> None:
        remembered = self._learnt.remembers
        self._learnt.accepted(now, held_back=remembered and self._held_back(now), late=late, crowded=crowded)
        if remembered:
            self._apply_rate()

    def _held_back(self, now: float) -> bool:
        rate = self._learnt.rate
        return rate is not None and now - self._held_back_at <= max(1.0, 2 / rate)

    def _apply_rate(self) -> None:
        rate = self._learnt.rate
        for lane, state in self._lanes.items():
            if not self._learnt.remembers:
                state.limit.forget()
            if rate is None:
                if (meter := self._learnt_meters.pop(lane, None)) is not None:
                    state.requests.remove(meter)
                continue
            if lane not in self._learnt_meters:
                self._learnt_meters[lane] = Meter(rate)
                state.requests.append(self._learnt_meters[lane])
            self._learnt_meters[lane].rate = rate

    def _throttled(
        self, state: _LaneState, epoch: int, now: float, retry_after: float | None, delay: float | None
    ) -> None:
        # What the server names is obeyed, but for too little: a 0, or a date that a fast clock takes for past.
        told = (delay or 0.0) if retry_after is None else min(retry_after, self._longest_pause)
        seconds = max(told, self.pace.throttle_pause)
        self.pause(seconds)
        if retry_after is not None and retry_after > self._longest_pause:
            self._refused_until = self._paused_until
            self._turn_away()
        if epoch == self._epoch:
            # Whatever else was in flight by now belongs to the same burst and teaches nothing more.
            self._epoch += 1
            state.limit.throttled()
            self._learnt.throttled(now, seconds)
            self._apply_rate()

    def _pump(self) -> None:
        now = self._clock.monotonic()
        next_due = math.inf
        for state in self._lanes.values():
            while state.waiters:
                due = self._due(state, now)
                if due > now:
                    next_due = min(next_due, due)
                    break
                future, (_, records) = state.waiters.popitem(last=False)
                if not future.done():
                    future.set_result(self._grant(state, records, now))
        self._arm(next_due)

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            if self._timer_due <= due < math.inf:
                return  # it fires early and looks again, which is cheaper than a new one each time
            self._timer.cancel()
            self._timer = None
        if due < math.inf:
            self._timer_due = due
            # An empty context: the timer must not keep the caller's request, span or database session alive.
            self._timer = asyncio.get_running_loop().create_task(
                self._tick(due), name="mobiz_async.pacing", context=contextvars.Context()
            )

    async def _tick(self, due: float) -> None:
        await self._clock.sleep(max(due - self._clock.monotonic(), 0.0))
        self._timer = None
        self._pump()
