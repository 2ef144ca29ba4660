"""Frozen values that go in: credentials, lists, outcomes, policies and limits. No I/O, no loop."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs
from attrs.validators import optional

from mobiz_async.errors import ConfigurationError
from mobiz_async.settings import above, number, whole

__all__ = [
    "MAX_CHUNK_BYTES",
    "MAX_RECORDS_PER_APPEND",
    "Credentials",
    "DataList",
    "OnInvalid",
    "OnRejected",
    "OnUnknown",
    "Outcome",
    "Pace",
    "ResultCode",
    "RetryPolicy",
    "Secret",
    "StopReason",
    "Timeouts",
]

MAX_RECORDS_PER_APPEND = 10_000
"""Vendor's reference, SendBulkMessages: "The API allow you to invoke maximum 10 000 records per call"."""

MAX_CHUNK_BYTES = 4 << 20
"""Default limit of a body. The vendor names none; gateways commonly take more than this."""

FIELD_FORMATS: tuple[str, ...] = ("numeric", "text", "email", "msisdn")
"""Vendor's reference, Creating a Data List: "formats are limited to numeric, text, email, and msisdn"."""


class Secret:
    """A text that never shows: not in ``repr``, ``str``, a format, a pickle or a traceback's locals."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Hold ``text``."""
        self._text = text

    def reveal(self) -> str:
        """Return the text itself. Use it in an expression; a local variable ends up in error reports."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Secret:
        return self  # it never changes, and a copy stays in this process, as a pickle may not

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a Secret cannot be pickled")


def _secret(value: str | Secret) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


@attrs.frozen
class Credentials:
    """What the API asks for: ``api_key`` in the query, the subscription key in ``Ocp-Apim-Subscription-Key``."""

    api_key: Secret = attrs.field(converter=_secret)
    subscription_key: Secret = attrs.field(converter=_secret)


class Outcome(enum.StrEnum):
    """What became of a record, a chunk or a request."""

    ACCEPTED = "accepted"
    """The API answered that it took it."""
    REJECTED = "rejected"
    """The API or its gateway answered that it did not take it, and would not if asked again."""
    NOT_SENT = "not_sent"
    """Provably not applied: sending it later cannot reach anyone twice."""
    UNKNOWN = "unknown"
    """It may have been applied; nothing but asking the vendor can tell."""


class ResultCode(enum.IntEnum):
    """Vendor's reference, TriggerMessage: the meaning of ``Result_Code``."""

    AUTH_FAILED = 0
    ENGAGEMENT_NOT_FOUND = 1
    INVALID_CUSTOMER = 2
    ACCEPTED = 3
    MISSING_VARS = 4


class OnUnknown(enum.StrEnum):
    """What a bulk run does about a chunk that may or may not have been applied."""

    KEEP = "keep"
    """Report it as unknown and go on: no record is ever sent twice."""
    STOP = "stop"
    """Report it as unknown, finish what is in flight, start nothing new."""
    RESEND = "resend"
    """Send it again: no record is lost, and some may be sent twice."""


class OnRejected(enum.StrEnum):
    """What a bulk run does about a chunk that the API refused."""

    KEEP = "keep"
    """Report it as rejected and go on."""
    STOP = "stop"
    """Report it as rejected, finish what is in flight, start nothing new."""
    SPLIT = "split"
    """Halve it and send the halves, to find the bad records.

    It assumes that a rejected append was applied to none of its records, which the vendor's reference does not say:
    if a rejection can leave a part applied, splitting sends that part twice. Only what blames the body is split: HTTP
    400, 413 and 422. A ``status`` other than 1 under a 200 does not, and stays rejected as a whole, as do 401, 403, 404
    and all other rejections.
    """


class OnInvalid(enum.StrEnum):
    """What a bulk run does about a record that cannot be sent."""

    RAISE = "raise"
    """End the run with an ``InvalidRecordError``, when the chunks that were full before it are settled."""
    SKIP = "skip"
    """Count it in ``skipped`` with its reason, and go on."""


class StopReason(enum.StrEnum):
    """Why a run ended before its source did."""

    ASKED = "stop() was called, or the client closed"
    CREDENTIALS = "the credentials were refused"
    MISDIRECTED = "not found, or redirected elsewhere: the address or the list id is wrong"
    UNKNOWN = "an outcome is unknown"
    REJECTED = "a chunk was rejected"
    FAILURE_RATE = "more records failed than max_failure_rate allows"
    DEADLINE = "the deadline passed"
    UNREACHABLE = "the server could not be reached"
    QUOTA = "the call volume quota is used up, or the server asks for too long a wait"
    SOURCE = "the source of records failed"
    JOURNAL = "the journal failed"
    CANCELLED = "the run was cancelled"
    ERROR = "a callback raised, or a transport"


@attrs.frozen
class Timeouts:
    """Limits of one attempt, in seconds. None of them runs while a request waits in the client's own queue.

    ``connect``: name look-up, TCP and TLS. ``read``: silence after the body went out. ``upload_stall``: no byte of the
    body taken by the peer, which is noticed a quarter of it late at most. ``total``: the whole attempt, from its start
    to the last byte of the answer.
    """

    connect: float = attrs.field(default=10.0, validator=above(0))
    read: float = attrs.field(default=60.0, validator=above(0))
    upload_stall: float = attrs.field(default=30.0, validator=above(0))
    total: float = attrs.field(default=300.0, validator=above(0))


@attrs.frozen
class RetryPolicy:
    """How often and when something provably not applied is sent again. Times are seconds.

    ``max_attempts`` counts the first. ``deadline`` bounds all attempts and waits together. Not sent: full jitter over
    ``base`` x 2^n up to ``cap``. Throttled: the same from ``throttle_base`` up to ``throttle_cap``, and never earlier
    than ``Retry-After`` says; one longer than ``max_retry_after`` ends the attempts instead, and those of others for
    as long as ``max_retry_after``.
    """

    max_attempts: int = attrs.field(default=8, validator=whole(1))
    deadline: float | None = attrs.field(default=None, validator=optional(above(0)))
    base: float = attrs.field(default=0.1, validator=number())
    cap: float = attrs.field(default=20.0, validator=number())
    throttle_base: float = attrs.field(default=1.0, validator=number())
    throttle_cap: float = attrs.field(default=60.0, validator=number())
    max_retry_after: float = attrs.field(default=3600.0, validator=number())


@attrs.frozen
class Pace:
    """How hard a client may lean on the server.

    ``concurrency`` and ``single_concurrency``: upper bounds of requests in flight in the bulk lane and the single lane.
    ``requests_per_second``, ``records_per_second``: caps over both lanes; None for none. A chunk larger than a second's
    worth of records goes whole, and the next waits for it. ``increase`` (requests a round trip, while all are used) and
    ``decrease`` (a factor, once per throttling): how concurrency adapts. ``throttle_pause``: least seconds of silence
    after a 429, also where it named fewer. ``breaker_threshold`` connect failures in a row open the breaker; probes are
    ``probe_base`` seconds apart at first and ``probe_cap`` at most.
    """

    concurrency: int = attrs.field(default=8, validator=whole(1))
    single_concurrency: int = attrs.field(default=100, validator=whole(1))
    requests_per_second: float | None = attrs.field(default=None, validator=optional(above(0)))
    records_per_second: float | None = attrs.field(default=None, validator=optional(above(0)))
    increase: float = attrs.field(default=1.0, validator=above(0))
    decrease: float = attrs.field(default=0.7, validator=above(0, 1))
    throttle_pause: float = attrs.field(default=1.0, validator=number())
    breaker_threshold: int = attrs.field(default=5, validator=whole(1))
    probe_base: float = attrs.field(default=0.5, validator=above(0))
    probe_cap: float = attrs.field(default=20.0, validator=above(0))


def _definition(value: Mapping[str, str] | None) -> Mapping[str, str] | None:
    if value is None:
        return None
    check_definition(value)
    return MappingProxyType(dict(value))


def _list_id(value: object) -> str:
    # str() would make a list "None" of None.
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ConfigurationError("a list id is text or a whole number")
    return str(value)


@attrs.frozen
class DataList:
    """A list on the server. ``definition`` maps field to format, where it is known."""

    id: str = attrs.field(converter=_list_id)
    """The vendor's ``list_id``: a string in one place and a number in others, held as text."""
    name: str | None = None
    definition: Mapping[str, str] | None = attrs.field(default=None, converter=_definition, hash=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return DataList, (self.id, self.name, None if self.definition is None else dict(self.definition))

    @property
    def number_field(self) -> str | None:
        """The first field of format ``msisdn``, or None."""
        return number_field_of(self.definition)


def number_field_of(definition: Mapping[str, str] | None) -> str | None:
    """Return the first field of format ``msisdn``, or None."""
    return next((field for field, kind in (definition or {}).items() if kind == "msisdn"), None)


def check_definition(definition: Mapping[str, str]) -> None:
    """Raise ``ConfigurationError`` where a field's format is not one the vendor's reference names."""
    if not isinstance(definition, Mapping):
        raise ConfigurationError("a list definition is a mapping of fields to formats")
    for field, kind in definition.items():
        if not field or type(field) is not str:
            raise ConfigurationError("a list definition's field names are non-empty text")
        if kind not in FIELD_FORMATS:
            raise ConfigurationError(f"field {field!r}: a format is one of {', '.join(FIELD_FORMATS)}")
