"""Frozen values that come back: receipts, outcomes, live counts, reports and events. No I/O, no loop."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import attrs
import msgspec

from mobiz_async.errors import MobizError, RequestError
from mobiz_async.models import Outcome, StopReason

__all__ = [
    "AppendReceipt",
    "AttemptEvent",
    "BatchOutcome",
    "BulkReport",
    "ChunkOutcome",
    "EventHook",
    "FirstAndLast",
    "MessageStatus",
    "Stats",
    "TriggerReceipt",
    "TriggerReport",
]


@attrs.frozen
class MessageStatus:
    """One entry of a trigger's ``Message_Status``."""

    message_id: str | None = None
    status: str | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False, hash=False)

    @property
    def submitted(self) -> bool | None:
        """Whether ``status`` is "SUBMITTED", the only word that the vendor documents; None without a word."""
        return None if self.status is None else self.status.strip().upper() == "SUBMITTED"


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
    def submitted(self) -> bool | None:
        """Whether every message says "SUBMITTED": False if any has another word, None if any has none.

        The vendor documents that one word. What another means is unknown, so it changes no outcome.
        """
        said = {message.submitted for message in self.messages} or {None}
        return False if False in said else None if None in said else True

    @property
    def message_id(self) -> str | None:
        """The id of the only message, or None when there are several, none, or they cannot be attributed."""
        return self.messages[0].message_id if self.count == 1 and self.attributable else None

    def part(self, position: int) -> TriggerReceipt:
        """Return the receipt of one posted object, counted from 0; without an id where none is attributable."""
        if not self.attributable:
            return self
        # As attrs.evolve would, which takes three times as long, for each caller of a coalesced batch.
        one = (self.messages[position],)
        return TriggerReceipt(self.reference, self.result_code, self.description, one, 1, self.raw)


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
    may have gaps where records were skipped. ``status`` is the last HTTP status, ``error`` what became of it;
    outcomes and reports are compared without their errors, as no two exceptions are equal.
    """

    index: int
    first_record: int
    count: int
    outcome: Outcome
    attempts: int = 0
    status: int | None = None
    error: RequestError | None = attrs.field(default=None, eq=False)
    resumed: bool = False
    """Taken from the journal of an earlier run; not sent by this one."""
    pending: bool = False
    """Whether the same run sends it when it is resumed: not sent, or refused for a key or an address alone."""
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
    """Live counts of a run, in records; ``chunks``, ``requests``, ``retries`` and ``in_flight`` (requests) are not.

    ``elapsed`` is in seconds.
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
    in_flight: int = 0

    def count(self, outcome: Outcome, records: int) -> None:
        """Add ``records`` under ``outcome``."""
        setattr(self, outcome.value, getattr(self, outcome.value) + records)


@attrs.frozen
class BulkReport:
    """The books of a bulk run: ``read = accepted + rejected + not_sent + unknown + skipped``, always.

    Counts are records, but for ``chunks``, ``failed_chunks``, ``requests`` and ``retries``; ``elapsed`` is in seconds.
    ``failures`` holds the first and the last of the chunks that were not accepted; the totals are exact however many
    there were. ``stopped`` says why the run ended before its source did; ``resumed`` how many of the records are as an
    earlier run on the same journal has left them (accepted, rejected or unknown), and were not sent by this one.
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
        counts = self.accepted, self.rejected, self.not_sent, self.unknown, self.skipped
        settled = sum(counts)
        if self.read != settled or min(counts) < 0:
            raise AssertionError(f"the books do not balance: read {self.read:,}, settled {settled:,}")

    @property
    def ok(self) -> bool:
        """Whether the source was read to its end and every record was accepted or skipped on request."""
        return self.stopped is None and self.accepted + self.skipped == self.read

    def raise_for_failures(self) -> None:
        """Raise when not ``ok``: what stopped the run, or else the first failed chunk's own error."""
        if not self.ok:
            _raise_of(self, self.error or next((chunk.error for chunk in self.failures if chunk.error), None))


class FirstAndLast:
    """Keeps the first and the last ``each`` of what is added, and an exact total."""

    def __init__(self, each: int) -> None:
        """Keep at most 2 x ``each``."""
        self._each = each
        self._first: list[ChunkOutcome] = []
        self._last: collections.deque[ChunkOutcome] = collections.deque(maxlen=each)
        self.total: int = 0

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
    error: RequestError | None = attrs.field(default=None, eq=False)


@attrs.frozen
class TriggerReport:
    """The books of ``trigger_many``: every batch, in order, with its receipt or its error.

    ``stopped`` says why the run ended before its source did; what comes after the last of ``batches`` was not sent.
    ``elapsed`` is in seconds.
    """

    batches: tuple[BatchOutcome, ...] = ()
    requests: int = 0
    elapsed: float = 0.0
    stopped: StopReason | None = None

    def _total(self, outcome: Outcome) -> int:
        return sum(batch.count for batch in self.batches if batch.outcome is outcome)

    @property
    def read(self) -> int:
        """Objects in ``batches``."""
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
    def not_submitted(self) -> int:
        """Messages of accepted batches with another status than "SUBMITTED"; see ``TriggerReceipt.submitted``."""
        receipts = [batch.receipt for batch in self.batches if batch.receipt is not None]
        return sum(message.submitted is False for receipt in receipts for message in receipt.messages)

    @property
    def ok(self) -> bool:
        """Whether the source was read to its end and every object was accepted."""
        return self.stopped is None and self.accepted == self.read

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
        """Raise when not ``ok``: the error of the first batch that was not accepted, or what stopped the run."""
        if not self.ok:
            _raise_of(self, next((batch.error for batch in self.batches if batch.error is not None), None))


def _raise_of(report: BulkReport | TriggerReport, error: MobizError | None) -> NoReturn:
    """Raise what went wrong in a run; ``error`` is None where nothing did, but the run was stopped."""
    if error is None:
        error = MobizError(f"the run ended early: {report.stopped}")
    error.report = report
    raise error


@attrs.frozen
class AttemptEvent:
    """One attempt at one POST, as event hooks see it: no key, number or message in it."""

    operation: str
    """The vendor's name of the operation: ``TriggerMessage``, ``SendBulkMessages`` ..."""
    outcome: Outcome
    """What the attempt proved. Of the last one: what all of them prove, which is unknown where an earlier one may have
    been applied and none was accepted."""
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
