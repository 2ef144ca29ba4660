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


async def repeat(attempt: Callable[[], Awaitable[tuple[T, Decision]]], sleep: Callable[[float], Awaitable[None]]) -> T:
    """Call ``attempt``, which returns a result and what was decided about it, until that is ``Enough``.

    Return the last result. What ``attempt`` or ``sleep`` raises ends it.
    """
    result, decision = await attempt()
    if isinstance(decision, Enough):
        # Nearly every request ends here, and setting up tenacity costs half as much as the whole rest of a request.
        return result
    await sleep(decision.after)
    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_result(_is_again), wait=_wait, sleep=sleep, before=tenacity.before_nothing
    )
    result, _ = await retrying(attempt)
    return result


def _is_again(attempted: tuple[object, Decision]) -> bool:
    return isinstance(attempted[1], Again)


def _wait(state: tenacity.RetryCallState) -> float:
    assert state.outcome is not None
    again: Again = state.outcome.result()[1]  # tenacity asks only where ``_is_again``
    return again.after
