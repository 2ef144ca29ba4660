"""What ends a run, of a list or of triggers, before its source does: one table for both."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mobiz_async.models import StopReason
from mobiz_async.verdicts import Failure, Judged, Verdict

__all__ = ["STOPS", "stop_reason"]

STOPS: Mapping[Verdict, StopReason] = MappingProxyType(
    {
        Verdict.AUTH_FAILED: StopReason.CREDENTIALS,
        Verdict.ENGAGEMENT_NOT_FOUND: StopReason.CREDENTIALS,
        Verdict.MISDIRECTED: StopReason.MISDIRECTED,
        Verdict.REDIRECTED: StopReason.MISDIRECTED,
        Verdict.QUOTA: StopReason.QUOTA,
        Verdict.CONNECT_FAILED: StopReason.UNREACHABLE,
    }
)
"""Verdicts that every other request of the run would get as well: to go on would only waste requests."""

_FAILURE_STOPS: Mapping[Failure | None, StopReason] = MappingProxyType(
    {
        Failure.PAUSED: StopReason.QUOTA,
        Failure.SESSION_CLOSED: StopReason.UNREACHABLE,
        Failure.SESSION_ELSEWHERE: StopReason.UNREACHABLE,
    }
)
"""The same for failures on this side: they share the verdict ``NOT_STARTED``, which alone ends no run."""


def stop_reason(judged: Judged, longest_pause: float) -> StopReason | None:
    """Return why a run whose request ended as ``judged`` is not to go on, or None where it is.

    Beside the verdicts of ``STOPS``, a pause of more than ``longest_pause`` seconds ends it: nobody waits for that.
    """
    asked_for = judged.retry_after or 0.0
    if judged.verdict is Verdict.THROTTLED and asked_for > longest_pause:
        return StopReason.QUOTA
    return STOPS.get(judged.verdict) or _FAILURE_STOPS.get(judged.attempt.failure)
