"""The gateway's limits: how often it may be called, and what it says when it was called too often."""

from __future__ import annotations

import collections
import heapq
from typing import Protocol, runtime_checkable

import attrs

from mobiz_async.sandbox import answers
from mobiz_async.sandbox.answers import Answer

__all__ = ["Backoff", "EveryNth", "Limit", "Quota", "RateLimit", "rate"]


@runtime_checkable
class Limit(Protocol):
    """Something that counts POSTs and now and then says no."""

    def check(self, now: float) -> Answer | None:
        """Count one POST at ``now`` (monotonic seconds); return the refusal, or None."""
        ...


@attrs.define
class RateLimit:
    """At most ``requests`` in any ``window`` seconds; the rest get 429 with the seconds until there is room again."""

    requests: int = attrs.field(validator=attrs.validators.ge(1))
    window: float = attrs.field(validator=attrs.validators.gt(0))
    _taken: collections.deque[float] = attrs.field(factory=collections.deque, init=False, repr=False)

    def check(self, now: float) -> Answer | None:
        """Count one POST, unless it is refused. ``now`` is in seconds that never go back."""
        while self._taken and self._taken[0] <= now - self.window:
            self._taken.popleft()
        if len(self._taken) < self.requests:
            self._taken.append(now)
            return None
        return answers.throttled(self._taken[0] + self.window - now)


@attrs.define
class EveryNth:
    """Every ``n``-th POST gets 429 with a Retry-After of ``retry_after`` seconds, whatever the time."""

    n: int = attrs.field(validator=attrs.validators.ge(1))
    retry_after: int = attrs.field(default=1, validator=attrs.validators.ge(0))
    _count: int = attrs.field(default=0, init=False, repr=False)

    def check(self, now: float) -> Answer | None:
        """Count one POST. ``now``, in seconds, plays no part."""
        del now
        self._count += 1
        return None if self._count % self.n else answers.throttled(self.retry_after)


@attrs.define
class Quota:
    """A call volume: after ``calls`` POSTs each gets 403 with a Retry-After of ``retry_after`` seconds, for good."""

    calls: int = attrs.field(validator=attrs.validators.ge(0))
    retry_after: int = attrs.field(default=86_400, validator=attrs.validators.ge(0))
    _count: int = attrs.field(default=0, init=False, repr=False)

    def check(self, now: float) -> Answer | None:
        """Count one POST. ``now``, in seconds, plays no part."""
        del now
        self._count += 1
        return answers.quota(self.retry_after) if self._count > self.calls else None


def rate(text: str) -> RateLimit | EveryNth:
    """Return the limit written ``REQUESTS/SECONDS``, or ``every/N``; raise ValueError where it is none."""
    first, _, second = text.partition("/")
    return EveryNth(int(second)) if first == "every" else RateLimit(int(first), float(second))


_ON_ITS_WAY = 60.0
"""Seconds that a body is given to be read: one that arrived too early must be known again at its end."""


@attrs.define
class Backoff:
    """What callers were told about coming back, and who came earlier. Times are monotonic seconds."""

    _until: float = float("-inf")
    _until_for: dict[str, float] = attrs.field(factory=dict)
    _told: list[tuple[float, str]] = attrs.field(factory=list)
    """The same, and those that came back since, as a heap: by it they are forgotten."""

    def told(self, digest: str, now: float, retry_after: float) -> None:
        """Remember that the body ``digest`` was sent away at ``now`` for ``retry_after`` seconds."""
        self._until = max(self._until, now + retry_after)
        self._until_for[digest] = now + retry_after
        heapq.heappush(self._told, (now + retry_after, digest))
        while self._told[0][0] + _ON_ITS_WAY <= now:
            until, old = heapq.heappop(self._told)
            if self._until_for.get(old) == until:  # and it was not sent away again since
                del self._until_for[old]

    def early(self, digest: str, arrived: float) -> tuple[float, float]:
        """Return by how many seconds a POST came too early: this very body again, and measured by anyone's answer."""
        by_body = self._until_for.pop(digest, arrived) - arrived
        return max(0.0, by_body), max(0.0, self._until - arrived)
