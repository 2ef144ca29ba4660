"""The arithmetic of pacing as plain objects that are told the time: no loop, no clock, no I/O.

``ConcurrencyLimit`` says how many at once, ``Meter`` how fast, ``LearntRate`` how fast a server that says 429 lets us
be, ``Breaker`` whether there is a server at all. ``pacing`` asks them and waits accordingly.
"""

from __future__ import annotations

import collections
import enum
import math

__all__ = ["Breaker", "BreakerState", "ConcurrencyLimit", "LearntRate", "Meter"]


class ConcurrencyLimit:
    """How many requests may be in flight: additive increase, multiplicative decrease, never below 1.

    It starts at its ceiling: a server that never throttles is never held back.
    """

    def __init__(self, ceiling: int, *, increase: float, decrease: float) -> None:
        """Allow ``ceiling`` at once until told otherwise."""
        self.ceiling = ceiling
        self._exact = float(ceiling)
        self._increase = increase
        self._decrease = decrease
        self.value = ceiling

    def raise_ceiling(self, ceiling: int) -> None:
        """Allow more than before; a limit that was cut stays cut and grows towards the new ceiling."""
        if ceiling > self.ceiling:
            if self.value >= self.ceiling:
                self._exact = float(ceiling)
            self.ceiling = ceiling
            self.value = int(self._exact)

    def accepted(self, in_flight: int) -> None:
        """Grow by ``increase`` a round trip; ``in_flight`` counts the accepted one, and an unused limit stays."""
        if self.value < self.ceiling and in_flight >= self.value:
            self._exact = min(self._exact + self._increase / self.value, float(self.ceiling))
            self.value = int(self._exact)

    def throttled(self) -> None:
        """Shrink once; the caller sees to it that one burst of refusals shrinks it once."""
        self._exact = max(self._exact * self._decrease, 1.0)
        self.value = int(self._exact)


class Meter:
    """So many units a second, whatever the size of one taking: a large one is paid for by a longer wait after it.

    ``ready_at`` is when the next may be taken. ``slack`` seconds of lateness are made good, so that coarse timers do
    not slow the stream; after an idle time no more than that is saved up.
    """

    __slots__ = ("rate", "ready_at", "slack")

    def __init__(self, rate: float, *, slack: float = 0.02) -> None:
        """Let ``rate`` units a second through."""
        self.rate = rate
        self.slack = slack
        self.ready_at = -math.inf

    def take(self, now: float, units: float) -> None:
        """Take ``units``, whether or not it was time."""
        self.ready_at = max(self.ready_at, now - self.slack) + units / self.rate

    def give_back(self, units: float) -> None:
        """Undo a ``take``: they were not used."""
        self.ready_at -= units / self.rate


class LearntRate:
    """What rate the server lets through, learnt from its refusals; None as long as it never refused.

    At a refusal the rate becomes a little less than what was accepted a second up to then. It holds for a while, then
    climbs by a few per cent a second until the next refusal: each refusal costs a whole pause, so they must be rare.
    """

    MARGIN = 0.97
    CUT = 0.85
    HOLD = 15.0
    CLIMB = 0.07
    LONGEST_LOOK = 60.0
    _SAMPLE = 0.05

    def __init__(self) -> None:
        """Know nothing."""
        self.rate: float | None = None
        self._accepted = 0
        self._samples: collections.deque[tuple[float, int]] = collections.deque(maxlen=5000)
        self._next_sample = -math.inf
        self._hold_until = -math.inf
        self._grown_at = -math.inf
        self._learnt_at = -math.inf
        self._resumed_at = -math.inf

    def accepted(self, now: float, *, held_back: bool) -> None:
        """Count one accepted request; ``held_back``: the rate is what kept requests waiting lately."""
        if now >= self._next_sample:
            self._samples.append((now, self._accepted))
            self._next_sample = now + self._SAMPLE
        self._accepted += 1
        if self.rate is not None and now > self._hold_until:
            if held_back:
                self.rate *= math.exp(self.CLIMB * min(now - max(self._grown_at, self._hold_until), 5.0))
            self._grown_at = now

    def _per_second(self, now: float, span: float) -> float:
        since = now - span
        before = next((count for at, count in self._samples if at >= since), self._accepted)
        return (self._accepted - before) / span

    def throttled(self, now: float, pause: float) -> None:
        """Learn from a refusal, after which nothing goes out for ``pause`` seconds."""
        span = min(max(pause, 1.0), self.LONGEST_LOOK)
        if now < self._learnt_at + 1.0:
            # The server's own window has not drained since the last refusal: nothing new is learnt from it.
            self._resume(now + pause, pause)
            return
        if self.rate is not None and now < self._resumed_at + span:
            self._set(now, self.rate * self.CUT)
        else:
            seen = max(self._per_second(now, span), self._per_second(now, 4 * span))
            if seen > 0:
                early = self.rate is not None and now < self._hold_until
                rate = seen if self.rate is None else min(seen, self.rate)
                self._set(now, rate * (self.CUT if early else self.MARGIN))
        self._resume(now + pause, pause)

    def _set(self, now: float, rate: float) -> None:
        self.rate = rate
        self._learnt_at = now

    def _resume(self, at: float, pause: float) -> None:
        self._resumed_at = at
        self._hold_until = at + max(self.HOLD, min(10 * pause, 600.0))


class BreakerState(enum.Enum):
    """Whether the server can be reached."""

    CLOSED = "closed"
    """As far as is known."""
    OPEN = "open"
    """Not lately; the next probe waits for its time."""
    HALF_OPEN = "half-open"
    """A probe is on its way."""


class Breaker:
    """Opens after ``threshold`` connect failures in a row, then lets one probe at a time through until one is answered.

    The wait before a probe doubles from ``base`` to ``cap`` seconds.
    """

    def __init__(self, threshold: int, *, base: float, cap: float) -> None:
        """Start closed."""
        self.state = BreakerState.CLOSED
        self._threshold = threshold
        self._base = base
        self._cap = cap
        self._failures = 0
        self._wait = base
        self._probe_at = 0.0

    @property
    def ready_at(self) -> float:
        """When the next request may go: -inf when closed, inf while a probe is out."""
        match self.state:
            case BreakerState.CLOSED:
                return -math.inf
            case BreakerState.OPEN:
                return self._probe_at
            case BreakerState.HALF_OPEN:
                return math.inf

    def begin(self) -> bool:
        """Let one through; True when it is a probe."""
        if self.state is BreakerState.CLOSED:
            return False
        self.state = BreakerState.HALF_OPEN
        return True

    def answered(self) -> None:
        """Any answer at all, to whatever request, shows that the server is there."""
        self.state = BreakerState.CLOSED
        self._failures = 0
        self._wait = self._base

    def failed(self, now: float, *, probe: bool) -> None:
        """Count a connect failure. While open, only a probe's failure moves the next probe further away."""
        self._failures += 1
        if self.state is BreakerState.CLOSED:
            if self._failures >= self._threshold:
                self._reopen(now)
        elif probe and self.state is BreakerState.HALF_OPEN:
            self._reopen(now)

    def _reopen(self, now: float) -> None:
        self.state = BreakerState.OPEN
        self._probe_at = now + self._wait
        self._wait = min(self._wait * 2, self._cap)

    def withdrawn(self) -> None:
        """The probe came back without having shown anything: the next may go at once."""
        if self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.OPEN
