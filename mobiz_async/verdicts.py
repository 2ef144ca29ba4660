"""What one attempt at a POST proves. A table, read from the top: the first row that fits decides.

The API has no idempotency key, and no way to ask what was applied, so a wrong "not sent" texts people twice. The last
row of each table is therefore an unknown, and every other row says what proves it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

import attrs

from mobiz_async.errors import (
    AuthenticationError,
    ConnectError,
    EngagementNotFoundError,
    InvalidPayloadError,
    MissingFieldsError,
    NotSentError,
    OutcomeUnknownError,
    PayloadTooLargeError,
    QuotaExceededError,
    RejectedError,
    RequestError,
    ThrottledError,
)
from mobiz_async.models import Outcome, ResultCode
from mobiz_async.wire import Answer, AnswerKind, Body, Operation, Reply, Request, read, unquoted

__all__ = [
    "ANSWERS",
    "FAILURES",
    "GAVE_UP_WAITING",
    "Attempt",
    "Failure",
    "Judged",
    "Row",
    "Stage",
    "Verdict",
    "classify",
    "retry_after",
]

GAVE_UP_WAITING = (408, 499)
"""HTTP statuses of somebody on the way who stopped waiting; whoever they waited for may go on, and answer later."""


class Stage(enum.IntEnum):
    """How far one attempt got. Only what lies before SENDING proves anything."""

    QUEUED = 0
    """In the client's own queue."""
    CONNECTING = 1
    """Waiting for a connection; no byte of the request was handed to a socket."""
    SENDING = 2
    """At least one byte was handed over."""
    SENT = 3
    """The whole body was handed over: to the kernel, not necessarily to the peer."""


class Failure(enum.StrEnum):
    """Why there is no usable reply; words that may be shown."""

    CONNECT = "no connection could be made"
    CONNECT_TIMEOUT = "connecting took longer than the timeout"
    CERTIFICATE = "the server's certificate is not trusted"
    PROXY = "the proxy made no connection"
    TIMEOUT = "no answer within the timeout"
    UPLOAD_STALLED = "the server stopped taking the body"
    DISCONNECTED = "the connection was lost before an answer came"
    STALE = "the connection had an answer on it before the request was sent"
    EARLY = "the server said that it accepted what it had not been sent"
    GARBAGE = "the answer was not HTTP"
    TRUNCATED = "the answer broke off"
    CANCELLED = "it was cancelled"
    DEADLINE = "the deadline passed before it was sent"
    STOPPED = "the run was stopped before it was sent"
    CLOSED = "the client was closed before it was sent"
    SESSION_CLOSED = "the session is closed"
    SESSION_ELSEWHERE = "the session belongs to another event loop"
    PAUSED = "the server asked for a longer pause than max_retry_after"
    OTHER = "the request failed"


@attrs.frozen
class Attempt:
    """One attempt as the transport saw it: how far it got, and the reply or else the failure."""

    stage: Stage
    reply: Reply | None = None
    failure: Failure | None = None


class Verdict(enum.Enum):
    """What an attempt proves: a word for events and logs, one of the four outcomes, the exception that says so."""

    ACCEPTED = ("accepted", Outcome.ACCEPTED, None)
    AUTH_FAILED = ("auth_failed", Outcome.REJECTED, AuthenticationError)
    ENGAGEMENT_NOT_FOUND = ("engagement_not_found", Outcome.REJECTED, EngagementNotFoundError)
    INVALID_PAYLOAD = ("invalid_payload", Outcome.REJECTED, InvalidPayloadError)
    MISSING_FIELDS = ("missing_fields", Outcome.REJECTED, MissingFieldsError)
    TOO_LARGE = ("too_large", Outcome.REJECTED, PayloadTooLargeError)
    MISDIRECTED = ("misdirected", Outcome.REJECTED, RejectedError)
    REFUSED = ("refused", Outcome.REJECTED, RejectedError)
    NOT_STARTED = ("not_started", Outcome.NOT_SENT, NotSentError)
    CONNECT_FAILED = ("connect_failed", Outcome.NOT_SENT, ConnectError)
    THROTTLED = ("throttled", Outcome.NOT_SENT, ThrottledError)
    QUOTA = ("quota", Outcome.NOT_SENT, QuotaExceededError)
    NO_ANSWER = ("no_answer", Outcome.UNKNOWN, OutcomeUnknownError)
    SERVER_ERROR = ("server_error", Outcome.UNKNOWN, OutcomeUnknownError)
    UNREADABLE = ("unreadable", Outcome.UNKNOWN, OutcomeUnknownError)
    REDIRECTED = ("redirected", Outcome.UNKNOWN, OutcomeUnknownError)

    def __init__(self, word: str, outcome: Outcome, error: type[RequestError] | None) -> None:
        self.word = word
        self.outcome = outcome
        self.error = error

    @property
    def splittable(self) -> bool:
        """Whether it is a definite rejection of a whole body, which halving could narrow down."""
        return self in (Verdict.INVALID_PAYLOAD, Verdict.TOO_LARGE)


@attrs.frozen
class Row:
    """One row of a table: when it fits, what it proves, and why."""

    name: str
    fits: Callable[[Seen], bool]
    verdict: Verdict
    why: str


@attrs.frozen
class Seen:
    """What the rows look at."""

    operation: Operation
    attempt: Attempt
    answer: Answer | None = None

    @property
    def status(self) -> int:
        """The HTTP status, or 0 without a reply."""
        return self.attempt.reply.status if self.attempt.reply is not None else 0

    def says(self, *codes: int) -> bool:
        """Whether the body has one of the documented codes."""
        return self.answer is not None and self.answer.kind is AnswerKind.RESULT and self.answer.code in codes

    @property
    def retry_after(self) -> bool:
        """Whether the reply says when to come back, in a ``Retry-After`` that can be read."""
        return self.attempt.reply is not None and retry_after(self.attempt.reply, 0.0) is not None


def _trigger(code: ResultCode) -> Callable[[Seen], bool]:
    return lambda seen: seen.operation.is_trigger and seen.says(code)


def _status(*statuses: int) -> Callable[[Seen], bool]:
    return lambda seen: seen.status in statuses


def _list_accepted(seen: Seen) -> bool:
    if seen.operation.is_trigger or not seen.says(1):
        return False
    return seen.operation is not Operation.CREATE_LIST or (seen.answer is not None and bool(seen.answer.list_id))


def _list_refused(seen: Seen) -> bool:
    if seen.operation.is_trigger or seen.answer is None or seen.answer.code in (None, 1):
        return False
    # A "status" of three digits is no word of the vendor's but an HTTP status that somebody copied (RFC 9457 has it
    # so): of this reply, which is judged by it anyway, or of another, of which a 4xx says that it was refused.
    code = seen.answer.code
    return code < 100 or (400 <= code < 500 and code not in (seen.status, *GAVE_UP_WAITING))  # noqa: PLR2004  the same


def _empty_202(seen: Seen) -> bool:
    return (
        seen.operation.is_trigger
        and seen.status == 202  # noqa: PLR2004  HTTP's own number reads best
        and seen.answer is not None
        and seen.answer.kind is AnswerKind.EMPTY
    )


def _quota(seen: Seen) -> bool:
    words = (seen.answer.message or "") if seen.answer is not None else ""
    return seen.status == 403 and (seen.retry_after or "quota" in words.lower())  # noqa: PLR2004  the same


FAILURES: tuple[Row, ...] = (
    Row(
        "queued",
        lambda seen: seen.attempt.stage is Stage.QUEUED,
        Verdict.NOT_STARTED,
        "it never left the client's own queue",
    ),
    Row(
        "connecting",
        lambda seen: seen.attempt.stage is Stage.CONNECTING,
        Verdict.CONNECT_FAILED,
        "no byte of it was handed to a socket",
    ),
    Row(
        "handed over",
        lambda _: True,
        Verdict.NO_ANSWER,
        "once a byte is out, no failure on this side says what the other side did",
    ),
)
"""Attempts without a whole reply."""

ANSWERS: tuple[Row, ...] = (
    Row("result 3", _trigger(ResultCode.ACCEPTED), Verdict.ACCEPTED, "vendor: API_Trigger_Accepted"),
    Row(
        "result 0", _trigger(ResultCode.AUTH_FAILED), Verdict.AUTH_FAILED, "vendor: API_Trigger_Engagement_Auth_Failed"
    ),
    Row(
        "result 1",
        _trigger(ResultCode.ENGAGEMENT_NOT_FOUND),
        Verdict.ENGAGEMENT_NOT_FOUND,
        "vendor: API_Trigger_Engagement_Not_Found",
    ),
    Row(
        "result 2",
        _trigger(ResultCode.INVALID_CUSTOMER),
        Verdict.INVALID_PAYLOAD,
        "vendor: API_Trigger_Invalid_Customer",
    ),
    Row("result 4", _trigger(ResultCode.MISSING_VARS), Verdict.MISSING_FIELDS, "vendor: API_Trigger_Missing_Vars"),
    Row("status 1", _list_accepted, Verdict.ACCEPTED, 'vendor: {"status": 1, "message": "Data Appended"}'),
    Row("401", _status(401), Verdict.AUTH_FAILED, "gateway: stopped before the backend"),
    Row("429", _status(429), Verdict.THROTTLED, "gateway: the rate limit is checked before the backend is called"),
    Row("403 quota", _quota, Verdict.QUOTA, "gateway: the quota is checked before the backend is called"),
    Row("403", _status(403), Verdict.AUTH_FAILED, "gateway: not allowed"),
    Row("413", _status(413), Verdict.TOO_LARGE, "gateway: a body too large is not passed on"),
    Row("400, 422", _status(400, 422), Verdict.INVALID_PAYLOAD, "RFC 9110: the content was not processed"),
    Row("404, 405", _status(404, 405), Verdict.MISDIRECTED, "nothing is at this address: no operation, or no list"),
    Row("202 empty", _empty_202, Verdict.ACCEPTED, "a Logic Apps trigger's acceptance; no ids are known"),
    Row("307, 308", _status(307, 308), Verdict.MISDIRECTED, "RFC 9110: to be repeated elsewhere, so not done here"),
    Row(
        "other 3xx",
        lambda seen: 300 <= seen.status < 400,  # noqa: PLR2004  the same
        Verdict.REDIRECTED,
        "a POST that was processed may be answered by a redirect",
    ),
    Row(
        "503 with Retry-After",
        lambda seen: seen.status == 503 and seen.retry_after,  # noqa: PLR2004  the same
        Verdict.THROTTLED,
        "gateway: it turned the request away itself",
    ),
    Row(
        "408, 499",
        _status(*GAVE_UP_WAITING),
        Verdict.SERVER_ERROR,
        "somebody gave up waiting; the backend may not have",
    ),
    Row(
        "5xx",
        lambda seen: seen.status >= 500,  # noqa: PLR2004  the same
        Verdict.SERVER_ERROR,
        "the backend may go on and finish",
    ),
    # Below what leaves open whether it was processed: a status other than 1 is no documented word for "not applied".
    Row("status not 1", _list_refused, Verdict.REFUSED, "vendor: the documented success is status 1"),
    Row(
        "other 4xx",
        lambda seen: 400 <= seen.status < 500,  # noqa: PLR2004  the same
        Verdict.REFUSED,
        "RFC 9110: the client's mistake, refused",
    ),
    Row(
        "anything else",
        lambda _: True,
        Verdict.UNREADABLE,
        "a rejection may come under a 200 as well, and a proxy's login page is a 200 too",
    ),
)
"""Whole replies. A documented code in the body decides first, the HTTP status second."""


@attrs.frozen
class Judged:
    """An attempt with what it proves. ``retry_after`` is in seconds, None where the reply named none."""

    verdict: Verdict
    attempt: Attempt
    answer: Answer | None = None
    retry_after: float | None = None
    row: str = ""

    @property
    def status(self) -> int | None:
        """The HTTP status, or None without a reply."""
        return self.attempt.reply.status if self.attempt.reply is not None else None

    def error(self, request: Request, attempts: int) -> RequestError:
        """Return the exception for an attempt that was not accepted. It holds no URL, body or key."""
        kind = self.verdict.error or OutcomeUnknownError
        answer = self.answer
        said = (answer.message if answer is not None else None) or self.attempt.failure
        where = f"HTTP {self.status}" if self.status is not None else None
        detail = ": ".join(str(part) for part in (where, said) if part)
        return kind(
            f"{request.operation.value}: {_MEANING[self.verdict.outcome]}" + (f" ({detail})" if detail else ""),
            operation=request.operation.value,
            status=self.status,
            attempts=attempts,
            result_code=answer.code if answer is not None and answer.kind is AnswerKind.RESULT else None,
            reference=answer.reference if answer is not None else None,
            retry_after=self.retry_after,
        )


_MEANING = {
    Outcome.ACCEPTED: "accepted",
    Outcome.REJECTED: "rejected",
    Outcome.NOT_SENT: "not sent",
    Outcome.UNKNOWN: "outcome unknown; it may have been applied",
}


def classify(
    operation: Operation,
    attempt: Attempt,
    *,
    now: float = 0.0,
    sent: Body = b"",
    answers: tuple[Row, ...] = ANSWERS,
    failures: tuple[Row, ...] = FAILURES,
) -> Judged:
    """Return what ``attempt`` proves.

    ``now``, seconds since the epoch, is for a ``Retry-After`` that is a date, of a reply without one; ``sent`` is the
    body of the request, of which no number is to show in the reference of an exception.
    """
    if attempt.reply is None:
        seen = Seen(operation, attempt)
        row = next(row for row in failures if row.fits(seen))
        return Judged(row.verdict, attempt, row=row.name)
    answer = read(operation, attempt.reply)
    seen = Seen(operation, attempt, answer)
    row = next(row for row in answers if row.fits(seen))
    if answer.reference is not None and row.verdict.outcome is not Outcome.ACCEPTED:
        answer = attrs.evolve(answer, reference=unquoted(answer.reference, sent))
    return Judged(row.verdict, attempt, answer, retry_after(attempt.reply, now), row.name)


def retry_after(reply: Reply, now: float) -> float | None:
    """Return ``Retry-After`` in seconds (RFC 9110, 10.2.3: a number of seconds or a date), or None.

    A date is measured by the server's own clock, where the reply has its ``Date``: this machine's may be wrong.
    """
    text = reply.headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        until, since = _date(text), _date(reply.headers.get("date", ""))
        if until is None:
            return None
        seconds = until - (now if since is None else since)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _date(text: str) -> float | None:
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
