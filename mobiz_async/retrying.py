"""Whether, and after how long, a request goes out again: a decision as a value, and its one adapter to tenacity."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from mobiz_async.models import Outcome, RetryPolicy
from mobiz_async.verdicts import Verdict

__all__ = ["backoff", "decide", "repeat"]

T = TypeVar("T")


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
) -> float | None:
    """Return the seconds after which a request goes again at the earliest; None: it does not.

    It has had ``attempt`` attempts in ``elapsed`` seconds, the last with ``verdict``.

    Only what provably was not applied goes again: no connection, or turned away by the gateway. An unknown goes again
    only where the caller asked for it by name. ``Retry-After`` is obeyed in full, or else not waited for at all; where
    it names less than the backoff, that is waited for.
    """
    if verdict.outcome in (Outcome.ACCEPTED, Outcome.REJECTED):
        return None
    limits = [limit for limit in (policy.deadline, deadline) if limit is not None]
    if verdict is Verdict.THROTTLED:
        if retry_after is not None and retry_after > policy.max_retry_after:
            return None
        wait = backoff(attempt, policy.throttle_base, policy.throttle_cap, chance)
        # A Retry-After of 0, or a date that a fast clock takes for past, would use all attempts up within a second.
        after = wait if retry_after is None else max(wait, retry_after + chance * policy.base)
    elif verdict is Verdict.CONNECT_FAILED or (verdict.outcome is Outcome.UNKNOWN and resend_unknown):
        if verdict is Verdict.REDIRECTED:
            return None  # it would be answered the same way again
        after = backoff(attempt, policy.base, policy.cap, chance)
    else:
        return None
    if attempt >= policy.max_attempts or (limits and elapsed + after >= min(limits)):
        return None
    return after


async def repeat(
    attempt: Callable[[], Awaitable[tuple[T, float | None]]], sleep: Callable[[float], Awaitable[None]]
) -> T:
    """Call ``attempt``, which returns a result and what was decided about it, until that is None.

    Return the last result. What ``attempt`` or ``sleep`` raises ends it.
    """
    result, after = await attempt()
    if after is None:
        # Nearly every request ends here, and setting up tenacity costs half as much as the whole rest of a request.
        return result
    await sleep(after)
    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_result(_goes_again), wait=_wait, sleep=sleep, before=tenacity.before_nothing
    )
    result, _ = await retrying(attempt)
    return result


def _goes_again(attempted: tuple[object, float | None]) -> bool:
    return attempted[1] is not None


def _wait(state: tenacity.RetryCallState) -> float:
    assert state.outcome is not None
    after: float = state.outcome.result()[1]  # tenacity asks only where ``_goes_again``
    return after
