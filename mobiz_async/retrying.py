"""Whether, and after how long, a request goes out again: a decision as a value, and its one adapter to tenacity."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs
import tenacity

from mobiz_async.models import Outcome, RetryPolicy
from mobiz_async.verdicts import Verdict

__all__ = ["Again", "Decision", "Enough", "backoff", "decide", "repeat"]

T = TypeVar("T")


@attrs.frozen
class Again:
    """Send it again, ``after`` seconds at the earliest."""

    after: float


@attrs.frozen
class Enough:
    """Do not send it again; ``why`` may be shown."""

    why: str


Decision = Again | Enough

_SETTLED = Enough("only what provably was not applied is sent again")


def backoff(failures: int, base: float, cap: float, chance: float) -> float:
    """Return full jitter: ``chance`` (0 to 1) of ``base`` x 2^(failures - 1), at most ``cap`` seconds."""
    return chance * min(cap, base * 2.0 ** min(failures - 1, 60))


def decide(
    verdict: Verdict,
    *,
    attempt: int,
    policy: RetryPolicy,
    elapsed: float,
    chance: float,
    retry_after: float | None = None,
    deadline: float | None = None,
    resend_unknown: bool = False,
) -> Decision:
    """Decide about a request that has had ``attempt`` attempts in ``elapsed`` seconds, the last with ``verdict``.

    Only what provably was not applied goes again: no connection, or turned away by the gateway. An unknown goes again
    only where the caller asked for it by name. ``Retry-After`` is obeyed in full, or else not waited for at all; where
    it names less than the backoff, that is waited for.
    """
    if verdict.outcome in (Outcome.ACCEPTED, Outcome.REJECTED):
        return _SETTLED
    limits = [limit for limit in (policy.deadline, deadline) if limit is not None]
    if verdict is Verdict.THROTTLED:
        if retry_after is not None and retry_after > policy.max_retry_after:
            return Enough("Retry-After is longer than max_retry_after")
        wait = backoff(attempt, policy.throttle_base, policy.throttle_cap, chance)
        # A Retry-After of 0, or a date that a fast clock takes for past, would use all attempts up within a second.
        after = wait if retry_after is None else max(wait, retry_after + chance * policy.base)
    elif verdict is Verdict.CONNECT_FAILED or (verdict.outcome is Outcome.UNKNOWN and resend_unknown):
        if verdict is Verdict.REDIRECTED:
            return Enough("a redirect would be answered the same way again")
        after = backoff(attempt, policy.base, policy.cap, chance)
    else:
        return _SETTLED
    if attempt >= policy.max_attempts:
        return Enough("max_attempts reached")
    if limits and elapsed + after >= min(limits):
        return Enough("the deadline would pass")
    return Again(after)


async def repeat(
    attempt: Callable[[], Awaitable[T]], decision: Callable[[T], Decision], sleep: Callable[[float], Awaitable[None]]
) -> T:
    """Call ``attempt`` until ``decision`` about its result is ``Enough``; return the last result."""
    first = await attempt()
    decided = decision(first)
    if isinstance(decided, Enough):
        # Nearly every request ends here, and setting up tenacity costs half as much as the whole rest of a request.
        return first
    await sleep(decided.after)
    wait = 0.0

    def again(state: tenacity.RetryCallState) -> bool:
        nonlocal wait
        assert state.outcome is not None
        if state.outcome.failed:
            return False
        decided = decision(state.outcome.result())
        if isinstance(decided, Again):
            wait = decided.after
        return isinstance(decided, Again)

    retrying = tenacity.AsyncRetrying(
        retry=again, wait=lambda _: wait, stop=tenacity.stop_never, sleep=sleep, before=tenacity.before_nothing
    )
    return await retrying(attempt)
