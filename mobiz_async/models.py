"""Frozen values: credentials, lists, receipts, outcomes, reports and options. No I/O, no loop."""

from __future__ import annotations

import collections
import enum
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

import attrs
import msgspec

from mobiz_async.errors import ConfigurationError, MobizError, RequestError

__all__ = [
    "MAX_RECORDS_PER_APPEND",
    "AppendReceipt",
    "AttemptEvent",
    "BatchOutcome",
    "BulkReport",
    "ChunkOutcome",
    "Credentials",
    "DataList",
    "FieldFormat",
    "MessageStatus",
    "OnInvalid",
    "OnRejected",
    "OnUnknown",
    "Outcome",
    "ResultCode",
    "RetryPolicy",
    "Secret",
    "Stats",
    "StopReason",
    "Timeouts",
    "TriggerReceipt",
    "TriggerReport",
]

MAX_RECORDS_PER_APPEND = 10_000
"""Vendor's reference, SendBulkMessages: "The API allow you to invoke maximum 10 000 records per call"."""

FieldFormat = Literal["numeric", "text", "email", "msisdn"]
"""Vendor's reference, Creating a Data List: "formats are limited to numeric, text, email, and msisdn"."""

FIELD_FORMATS: tuple[str, ...] = ("numeric", "text", "email", "msisdn")


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

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a Secret cannot be pickled")


def _secret(value: str | Secret) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


@attrs.frozen
class Credentials:
    """What the API asks for: ``api_key`` in the query, the subscription key in ``Ocp-Apim-Subscription-Key``.

    ``username`` is needed by ``create_list`` only.
    """

    api_key: Secret = attrs.field(converter=_secret)
    subscription_key: Secret = attrs.field(converter=_secret)
    username: str | None = None

    def scrub(self, text: str) -> str:
        """Return ``text`` with every occurrence of a key replaced by ``***``."""
        for secret in (self.api_key, self.subscription_key):
            if secret.reveal():
                text = text.replace(secret.reveal(), "***")
        return text


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
    if a rejection can leave a part applied, splitting sends that part twice. Only a definite rejection of the whole
    body is split (HTTP 400, 413, 422, result code 2), never 401, 403, 429, 5xx or an unknown outcome.
    """


class OnInvalid(enum.StrEnum):
    """What a bulk run does about a record that cannot be sent."""

    RAISE = "raise"
    """End the run with an ``InvalidRecordError``, after finishing what is in flight."""
    SKIP = "skip"
    """Count it in ``skipped`` with its reason, and go on."""


class StopReason(enum.StrEnum):
    """Why a bulk run ended before its source did."""

    ASKED = "stop() was called"
    CREDENTIALS = "the credentials were refused"
    MISDIRECTED = "the address is wrong: not found, or redirected elsewhere"
    UNKNOWN = "an outcome is unknown"
    REJECTED = "a chunk was rejected"
    FAILURE_RATE = "more records failed than max_failure_rate allows"
    DEADLINE = "the deadline passed"
    UNREACHABLE = "the server could not be reached"
    QUOTA = "the call volume quota is used up"
    SOURCE = "the source of records failed"
    JOURNAL = "the journal failed"
    CANCELLED = "the run was cancelled"
    ERROR = "a callback raised"


@attrs.frozen
class Timeouts:
    """Limits of one attempt, in seconds. None of them runs while a request waits in the client's own queue.

    ``connect``: name look-up, TCP and TLS. ``read``: silence after the body went out. ``upload_stall``: no byte of the
    body taken by the peer. ``total``: the whole attempt, from its start to the last byte of the answer.
    """

    connect: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    read: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))
    upload_stall: float = attrs.field(default=30.0, validator=attrs.validators.gt(0))
    total: float = attrs.field(default=300.0, validator=attrs.validators.gt(0))


@attrs.frozen
class RetryPolicy:
    """How often and when something provably not applied is sent again. Times are seconds.

    ``max_attempts`` counts the first. ``deadline`` bounds all attempts and waits together. Not sent: full jitter over
    ``base`` x 2^n up to ``cap``. Throttled: the same from ``throttle_base`` up to ``throttle_cap``, and never earlier
    than ``Retry-After`` says; one longer than ``max_retry_after`` ends the attempts instead.
    """

    max_attempts: int = attrs.field(default=8, validator=attrs.validators.ge(1))
    deadline: float | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.gt(0)))
    base: float = attrs.field(default=0.1, validator=attrs.validators.ge(0))
    cap: float = attrs.field(default=20.0, validator=attrs.validators.ge(0))
    throttle_base: float = attrs.field(default=1.0, validator=attrs.validators.ge(0))
    throttle_cap: float = attrs.field(default=60.0, validator=attrs.validators.ge(0))
    max_retry_after: float = attrs.field(default=3600.0, validator=attrs.validators.ge(0))


def _definition(value: Mapping[str, str] | None) -> Mapping[str, str] | None:
    return None if value is None else MappingProxyType(dict(value))


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

    @definition.validator
    def _formats(self, _: object, value: Mapping[str, str] | None) -> None:
        check_definition(value or {})

    def __reduce__(self) -> tuple[Any, ...]:
        return DataList, (self.id, self.name, None if self.definition is None else dict(self.definition))

    @property
    def number_field(self) -> str | None:
        """The first field of format ``msisdn``, or None."""
        return next((field for field, kind in (self.definition or {}).items() if kind == "msisdn"), None)


def check_definition(definition: Mapping[str, str]) -> None:
    """Raise ``ConfigurationError`` where a field's format is not one the vendor's reference names."""
    for field, kind in definition.items():
        if not field or type(field) is not str:
            raise ConfigurationError("a list definition's field names are non-empty text")
        if kind not in FIELD_FORMATS:
            raise ConfigurationError(f"field {field!r}: a format is one of {', '.join(FIELD_FORMATS)}")


@attrs.frozen
class MessageStatus:
    """One entry of a trigger's ``Message_Status``."""

    message_id: str | None = None
    status: str | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False, hash=False)


@attrs.frozen
class TriggerReceipt:
    """A trigger the API accepted (result code 3, or a 202 with an empty body: then no ids are known).

    ``messages`` has one entry for each posted object, in order, *when the reply had as many*; otherwise it is as the
    API sent it, and ``attributable`` is False: no id belongs to any particular object.
    """

    reference: str | None = None
    result_code: int | None = None
    description: str | None = None
    messages: tuple[MessageStatus, ...] = ()
    count: int = 1
    """How many objects were posted."""
    raw: Any = attrs.field(default=None, repr=False, hash=False)
    """The reply as it came."""

    @property
    def attributable(self) -> bool:
        """Whether ``messages`` and the posted objects agree in number."""
        return len(self.messages) == self.count

    @property
    def message_id(self) -> str | None:
        """The id of the only message, or None when there are several, none, or they cannot be attributed."""
        return self.messages[0].message_id if self.count == 1 and self.attributable else None

    def part(self, position: int) -> TriggerReceipt:
        """Return the receipt of one posted object, counted from 0; without an id where none is attributable."""
        if not self.attributable:
            return self
        return attrs.evolve(self, messages=(self.messages[position],), count=1)


@attrs.frozen
class AppendReceipt:
    """A list-append the API accepted (``status`` 1)."""

    count: int
    description: str | None = None
    raw: Any = attrs.field(default=None, repr=False, hash=False)


@attrs.frozen
class ChunkOutcome:
    """What became of one chunk of a bulk run.

    ``first_record`` counts from 1 in the order of the source; ``count`` is the number of records in the chunk, which
    may have gaps where records were skipped. ``status`` is the last HTTP status, ``error`` what became of it.
    """

    index: int
    first_record: int
    count: int
    outcome: Outcome
    attempts: int = 0
    status: int | None = None
    error: RequestError | None = None
    resumed: bool = False
    """Taken from the journal of an earlier run; not sent by this one."""
    runs: tuple[tuple[int, int], ...] = attrs.field(default=(), repr=False)
    """(first row, length) of each unbroken run of source rows in the chunk."""
    body: bytes | None = attrs.field(default=None, repr=False, eq=False)
    """The encoded records, on outcomes that are not ACCEPTED and that come live from a run; None in reports."""

    def records(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield (row, record) for each record of a chunk that still has its body; row counts from 1."""
        rows = (first + offset for first, length in self.runs for offset in range(length))
        yield from zip(rows, msgspec.json.decode(self.body or b"[]"), strict=False)


@attrs.define
class Stats:
    """Live counts of a run, in records, but for ``chunks``, ``requests`` and ``retries``."""

    read: int = 0
    accepted: int = 0
    rejected: int = 0
    not_sent: int = 0
    unknown: int = 0
    skipped: int = 0
    chunks: int = 0
    requests: int = 0
    retries: int = 0
    elapsed: float = 0.0
    in_flight: int = 0

    def count(self, outcome: Outcome, records: int) -> None:
        """Add ``records`` under ``outcome``."""
        setattr(self, outcome.value, getattr(self, outcome.value) + records)


@attrs.frozen
class BulkReport:
    """The books of a bulk run: ``read = accepted + rejected + not_sent + unknown + skipped``, always.

    Counts are records. ``failures`` holds the first and the last of the chunks that were not accepted; the totals are
    exact however many there were. ``stopped`` says why the run ended before its source did; ``resumed`` how many of the
    records were settled by an earlier run on the same journal and not sent by this one.
    """

    read: int = 0
    accepted: int = 0
    rejected: int = 0
    not_sent: int = 0
    unknown: int = 0
    skipped: int = 0
    chunks: int = 0
    requests: int = 0
    retries: int = 0
    elapsed: float = 0.0
    resumed: int = 0
    skipped_by_reason: Mapping[str, int] = attrs.field(factory=dict, hash=False)
    failures: tuple[ChunkOutcome, ...] = ()
    failed_chunks: int = 0
    stopped: StopReason | None = None
    error: MobizError | None = attrs.field(default=None, eq=False)

    def __attrs_post_init__(self) -> None:
        """Refuse books that do not balance: a mistake of ours must not pass for a result."""
        settled = self.accepted + self.rejected + self.not_sent + self.unknown + self.skipped
        if self.read != settled:
            raise AssertionError(f"the books do not balance: read {self.read:,}, settled {settled:,}")

    @property
    def ok(self) -> bool:
        """Whether the source was read to its end and every record was accepted or skipped on request."""
        return self.stopped is None and self.accepted + self.skipped == self.read

    def raise_for_failures(self) -> None:
        """Raise when not ``ok``: what stopped the run, or else the first failed chunk's own error."""
        if self.ok:
            return
        error = self.error or next((chunk.error for chunk in self.failures if chunk.error), None)
        if error is None:
            error = MobizError(f"the run ended early: {self.stopped}")
        error.report = self
        raise error


class FirstAndLast:
    """Keeps the first and the last ``each`` of what is added, and an exact total."""

    def __init__(self, each: int) -> None:
        """Keep at most 2 x ``each``."""
        self._each = each
        self._first: list[ChunkOutcome] = []
        self._last: collections.deque[ChunkOutcome] = collections.deque(maxlen=each)
        self.total = 0

    def add(self, item: ChunkOutcome) -> None:
        """Take one more."""
        self.total += 1
        if len(self._first) < self._each:
            self._first.append(item)
        else:
            self._last.append(item)

    def kept(self) -> tuple[ChunkOutcome, ...]:
        """Return what was kept, in order of arrival."""
        return (*self._first, *self._last)


@attrs.frozen
class BatchOutcome:
    """What became of one batch of ``trigger_many`` or ``schedule_many``. ``first_record`` counts from 1."""

    index: int
    first_record: int
    count: int
    outcome: Outcome
    attempts: int = 0
    receipt: TriggerReceipt | None = None
    error: RequestError | None = None


@attrs.frozen
class TriggerReport:
    """The books of ``trigger_many``: every batch, in order, with its receipt or its error."""

    batches: tuple[BatchOutcome, ...] = ()
    requests: int = 0
    elapsed: float = 0.0

    def _total(self, outcome: Outcome) -> int:
        return sum(batch.count for batch in self.batches if batch.outcome is outcome)

    @property
    def read(self) -> int:
        """Objects taken from the source."""
        return sum(batch.count for batch in self.batches)

    @property
    def accepted(self) -> int:
        """Objects the API accepted."""
        return self._total(Outcome.ACCEPTED)

    @property
    def rejected(self) -> int:
        """Objects the API refused."""
        return self._total(Outcome.REJECTED)

    @property
    def not_sent(self) -> int:
        """Objects provably not applied."""
        return self._total(Outcome.NOT_SENT)

    @property
    def unknown(self) -> int:
        """Objects that may or may not have been applied."""
        return self._total(Outcome.UNKNOWN)

    @property
    def ok(self) -> bool:
        """Whether every object was accepted."""
        return self.accepted == self.read

    @property
    def message_ids(self) -> tuple[str | None, ...]:
        """One id for each object, in order; None where the batch failed or its ids cannot be attributed."""
        ids: list[str | None] = []
        for batch in self.batches:
            receipt = batch.receipt
            if receipt is not None and receipt.attributable:
                ids.extend(message.message_id for message in receipt.messages)
            else:
                ids.extend([None] * batch.count)
        return tuple(ids)

    def raise_for_failures(self) -> None:
        """Raise the error of the first batch that was not accepted, if there is one."""
        for batch in self.batches:
            if batch.error is not None:
                raise batch.error


@attrs.frozen
class AttemptEvent:
    """One attempt at one POST, as event hooks see it: no key, number or message in it."""

    operation: str
    """The vendor's name of the operation: ``TriggerMessage``, ``SendBulkMessages`` ..."""
    outcome: Outcome
    verdict: str
    """The finer word of the verdict table, such as ``throttled`` or ``no_answer``."""
    status: int | None
    records: int
    seconds: float
    attempt: int
    """1 for the first; 0 where none was begun, as when the caller cancelled while it waited for its turn."""
    bytes: int = 0
    retry_in: float | None = None
    """Seconds after which it is sent again; None: this was the last word, so ``records`` are settled as ``outcome``."""


EventHook = Callable[[AttemptEvent], None]
"""Called on the event loop after each attempt, in the task and context of whoever asked for it; what it raises is
logged and otherwise ignored. A request that ends without another attempt, while it waits for its turn, is told as well
(verdict ``not_started``), so that the events without ``retry_in`` account for every request."""
