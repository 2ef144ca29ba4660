"""The arithmetic of pacing as plain objects that are told the time: no loop, no clock, no I/O.

``ConcurrencyLimit`` says how many at once, ``Meter`` how fast, ``LearntRate`` how fast a server that says 429 lets us
be, ``Breaker`` whether there is a server at all. ``pacing`` asks them and waits accordingly.
"""

from __future__ import annotations

import collections
import enum
import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import assert_never

__all__ = ["Breaker", "BreakerState", "ConcurrencyLimit", "LearntRate", "Meter", "Tally"]

_LONGEST_SPAN = 60.0
"""Seconds; limits by the hour or the day are not a matter of pacing."""
_BRISK = 5.0
"""A second; a client that takes so much for a limit by mistake keeps twenty PINs waiting for four seconds, not more."""
_CROWDED_IN_A_ROW = 3
_REFUSED_IN_A_ROW = 3
"""Each before the plateau was over; a server that refuses still more has another reason than the rate."""
_MARGIN, _STEP = 0.03, 0.05
"""How far below what is seen a plateau lies, the first and the later ones."""
_SHORTEST_PLATEAU = 16.0
"""Seconds after the pause."""
_DOUBLING = 7.0
"""Seconds in which the climb comes to twice the rate of the plateau."""
_KEPT = 4
"""Plateaus, each of ten pauses at least, so that finding out again takes a fortieth of the time."""


class ConcurrencyLimit:
    """How many requests may be in flight: additive increase, multiplicative decrease, never below 1.

    It is its ceiling until it is throttled: a server that never throttles is never held back.
    """

    def __init__(self, ceiling: int, *, increase: float, decrease: float) -> None:
        """Allow ``ceiling`` at once until told otherwise."""
        self.ceiling: int = ceiling
        self._ceilings = [ceiling]
        self._learnt = math.inf
        self._increase = increase
        self._decrease = decrease
        self.value: int = ceiling

    @contextmanager
    def allowing(self, ceiling: int) -> Iterator[None]:
        """Allow up to ``ceiling`` while the block lasts; the highest counts of those asked for, and never a lower one.

        A limit that was cut stays cut and grows towards the higher ceiling. What it has learnt above the ceiling that
        comes after is kept for when it rises again.
        """
        self._ceilings.append(ceiling)
        self._fit()
        try:
            yield
        finally:
            self._ceilings.remove(ceiling)
            self._fit()

    def _fit(self) -> None:
        self.ceiling = max(self._ceilings)
        self.value = int(min(self._learnt, self.ceiling))

    def accepted(self, in_flight: int) -> None:
        """Grow by ``increase`` a round trip; ``in_flight`` counts the accepted one, and an unused limit stays."""
        if self.value < self.ceiling and in_flight >= self.value:
            grown = self._learnt + self._increase / self.value
            self._learnt = grown if grown < self.ceiling else math.inf
            self._fit()

    def throttled(self) -> None:
        """Shrink once; the caller sees to it that one burst of refusals shrinks it once."""
        self._learnt = max(min(self._learnt, self.ceiling) * self._decrease, 1.0)
        self._fit()

    def forget(self) -> None:
        """Be uncut again: what the refusals have taught is too old to hold."""
        self._learnt = math.inf
        self._fit()


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


class Tally:
    """How many came since a time: exact for the last 512, within half a percent before, whatever their number.

    Each level has half as many entries as came to it, each of twice the weight: 400 a second for four minutes are two
    thousand entries. Where so much as a minute's worth counts, a time for each would be without bound.
    """

    __slots__ = ("_levels", "_longest")

    _MOST = 512

    def __init__(self, longest: float) -> None:
        """Remember what came at most ``longest`` seconds ago."""
        self._longest = longest
        self._levels: list[collections.deque[float]] = [collections.deque()]

    def add(self, now: float) -> None:
        """Count one."""
        at = now
        for level in self._levels:
            level.append(at)
            if len(level) <= self._MOST:
                return
            level.popleft()
            at = level.popleft()  # the later of the two stands for both
            if at < now - self._longest:
                return
        self._levels.append(collections.deque([at]))

    def since(self, start: float) -> int:
        """Return how many came after ``start``."""
        return sum(
            sum(1 for _ in itertools.takewhile(lambda at: at > start, reversed(level))) << weight
            for weight, level in enumerate(self._levels)
        )


class LearntRate:
    """What rate the server lets through, learnt from its refusals; None where nothing is known.

    A refusal after a measure shows how many a second were accepted up to then, and the rate becomes a little less.
    There it stays for the ``plateau``, since every refusal costs a whole pause and must be rare. Then it climbs, slowly
    at first and faster and faster, because a server that allows twice as much must be found out within half a minute.
    The next refusal gives the next plateau: never below one that went well, and a little below one that did not.

    What a client has to send is no measure of what it may send: only a brisk stream is, or one with others behind it.
    And nothing is kept for ever. The plateau passes whether or not the rate is used, and what has kept nobody waiting
    for four plateaus, 40 pauses, is forgotten, since to find it out again costs one pause.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.rate: float | None = None
        self.remembers = False
        """Whether a refusal is held against the server still; without one there is no rate either."""
        self._accepted = Tally(4 * _LONGEST_SPAN)
        self._crowded = 0
        """Acceptances in a row that were not for want of requests."""
        self._refused = 0
        """Refusals in a row, with no plateau between that went well."""
        self._level = 0.0
        """The rate of the plateau, from which it climbs."""
        self._late = 0.0
        """What a late acceptance adds to the level: it was missing in the measure that the first refusal took."""
        self._span = 1.0
        """Seconds that the last measure was taken over."""
        self._plateau = _SHORTEST_PLATEAU
        """How long the rate stays at the level, in seconds."""
        self._phase = 0.0
        """Seconds since the plateau began; beyond ``_plateau`` the rate climbs. Only use takes it there."""
        self._moved_at = -math.inf
        """Up to when time has counted."""
        self._used_at = -math.inf
        """When the rate last held a request back."""
        self._resumed_at = -math.inf
        """When the pause after the last refusal ends."""
        self._learnt_at = -math.inf
        """When the level was last set."""

    def accepted(self, now: float, *, held_back: bool = False, late: bool = False, crowded: bool = False) -> None:
        """Count one accepted request.

        ``held_back``: the rate is what has kept requests waiting; one that is not used is not raised. ``late``: it was
        sent before the last refusal came, and so belongs to what that refusal was the answer to. ``crowded``: others
        were waiting or on their way, so that it was not for want of requests that no more were accepted.
        """
        self._accepted.add(now)
        self._crowded = self._crowded + 1 if crowded else 0
        if not self.remembers:
            return
        if late:
            if self.rate is not None and now <= self._learnt_at + self._span:
                self._level += self._late
                self._raise()
        else:
            self.pass_time(now, held_back=held_back)

    def pass_time(self, now: float, *, held_back: bool = False) -> None:
        """Let the time since the last call count, as ``accepted`` does."""
        step = now - self._moved_at
        if step <= 0:
            return
        self._moved_at = now
        if held_back:
            self._used_at = now
            self._phase += step
        elif now - self._used_at > _KEPT * self._plateau:
            self.rate, self.remembers = None, False
            return
        else:
            self._phase = max(self._phase, min(self._phase + step, self._plateau))
        if self._phase >= self._plateau:
            self._refused = 0
        self._raise()

    def _raise(self) -> None:
        if self.rate is not None:
            self.rate = self._level * (1 + (max(self._phase - self._plateau, 0.0) / _DOUBLING) ** 2)

    def throttled(self, now: float, pause: float) -> None:
        """Learn from a refusal, after which nothing goes out for ``pause`` seconds."""
        # A window of the server's can hardly be shorter than what it tells to wait, and one second is the commonest.
        self._span = span = min(max(pause, 1.0), _LONGEST_SPAN)
        seen = self._measured(now, span)
        if self.rate is None:
            if seen is not None:
                self._late = (1 - _MARGIN) / span
                self._refused = 0
                self._learn(now, seen * (1 - _MARGIN))
        elif now >= self._learnt_at + 1.0:
            self._late = 0.0
            self._refused += 1
            if self._refused > _REFUSED_IN_A_ROW:
                self.rate = None
            elif now >= self._resumed_at + span:
                level = min(self.rate if seen is None else seen, self.rate) * (1 - _STEP)
                self._learn(now, level if self._phase < self._plateau else max(level, self._level))
            else:
                # Too soon to have measured anything: far too fast, but for what got through since the pause.
                self._learn(now, max(self.rate * 0.7, self._accepted.since(self._resumed_at) / span))
        # else: the server's window has not drained since the last refusal, and nothing new is learnt from this one.
        self.remembers = True
        self._plateau = max(_SHORTEST_PLATEAU, min(10 * pause, 600.0))
        self._resumed_at = self._moved_at = self._used_at = now + pause
        self._phase = 0.0

    def _measured(self, now: float, span: float) -> float | None:
        """Return how many a second were accepted lately, or None where that is what there was to send."""
        seen = max(self._accepted.since(now - span) / span, self._accepted.since(now - 4 * span) / (4 * span))
        return seen if seen >= _BRISK or (seen > 0 and self._crowded >= _CROWDED_IN_A_ROW) else None

    def _learn(self, now: float, level: float) -> None:
        self.rate = self._level = level
        self._learnt_at = now


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
            case _:
                assert_never(self.state)

    def begin(self) -> bool:
        """Let one through; True when it is a probe."""
        if self.state is BreakerState.CLOSED:
            return False
        self.state = BreakerState.HALF_OPEN
        return True

    def answered(self) -> None:
        """Any answer at all, to whatever request, shows that the server is there."""
        if not self._failures:
            return
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
