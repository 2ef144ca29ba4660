"""The ground truth: what arrived, what was applied, how often, and by which request.

A million applied records must fit: a phone number of up to 18 digits costs 8 bytes, whatever else the record held. The
bodies themselves are kept for the latest ``keep_records`` records only.
"""

from __future__ import annotations

import array
import collections
import itertools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from mobiz_async.sandbox.faults import Fault
from mobiz_async.sandbox.payloads import parse_json
from mobiz_async.sandbox.tally import Tally

__all__ = ["Column", "Ledger", "SeenMessage", "SeenRequest", "Stream"]


@attrs.frozen
class SeenRequest:
    """One request as it arrived, and what became of it. The keys are left out of ``query``."""

    number: int
    """From 1, in the order of arrival."""
    time: float
    """Arrival, in seconds since the Unix epoch."""
    method: str
    path: str
    query: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    size: int = 0
    """Bytes of the body that were read."""
    digest: str | None = None
    """SHA-256 of the body in hexadecimal; None when it was not read to its end."""
    records: int = 0
    """Records posted, valid or not."""
    applied_records: int = 0
    applied: bool = False
    status: int | None = None
    """The HTTP status answered; None while there is none, and when the connection went without one."""
    fault: Fault | None = None
    early_by: float = 0.0
    """Seconds by which this POST came before the Retry-After that an earlier POST *of the same body* was given."""
    during_backoff: float = 0.0
    """The same seconds by the latest Retry-After given to any POST; it may be one that was already on its way."""


@attrs.frozen
class SeenMessage:
    """One message of a trigger that was applied. ``send_time`` is as it came in the query, None for at once."""

    message_id: str
    number: str = attrs.field(repr=False)
    trigger_key: str = attrs.field(repr=False)
    send_time: str | None
    request: int


class Column:
    """Texts in order of application: 8 bytes each for those of up to 18 ASCII digits, a dictionary for the others.

    Nothing is tallied before somebody asks. From then on what is added is tallied with it, at some 10 bytes for each
    different text and about a microsecond each, so that another look costs nothing, however much there is.
    """

    _MAX_DIGITS = 18  # with a leading 1, which keeps leading zeros, that is below 2**64

    def __init__(self) -> None:
        """Begin empty."""
        self._codes = array.array("Q")
        self._others: dict[int, str] = {}
        self._tally: Tally | None = None
        self._untallied = range(0)

    def __len__(self) -> int:
        return len(self._codes)

    def extend(self, texts: Sequence[str]) -> None:
        """Add ``texts``."""
        begin = len(self._codes)
        self._append(texts)
        if self._tally is not None:
            self._count(self._tally, range(begin, len(self._codes)))

    def _append(self, texts: Sequence[str]) -> None:
        joined = "".join(texts)
        if joined.isascii() and joined.isdigit() and all(texts) and max(map(len, texts)) <= self._MAX_DIGITS:
            self._codes.extend(map(int, map("1".__add__, texts)))
            return
        for text in texts:
            if text.isascii() and text.isdigit() and len(text) <= self._MAX_DIGITS:
                self._codes.append(int("1" + text))
            else:
                self._others[len(self._codes)] = text
                self._codes.append(0)

    def texts(self, start: int = 0, stop: int | None = None) -> Iterator[str]:
        """Yield the texts from ``start`` up to ``stop``."""
        for position, code in enumerate(itertools.islice(self._codes, start, stop), start):
            yield str(code)[1:] if code else self._others[position]

    def tally(self) -> tuple[int, int]:
        """Return how many distinct texts there are, and how many of them are here more than once."""
        tally = self._tallied(len(self._codes))
        return tally.distinct, tally.repeated

    def catch_up(self, most: int) -> bool:
        """Tally at most so many of the texts that were here before anybody asked; return whether there are more."""
        self._tallied(most)
        return bool(self._untallied)

    def _tallied(self, most: int) -> Tally:
        if self._tally is None:
            self._tally, self._untallied = Tally(), range(len(self._codes))
        self._count(self._tally, self._untallied[:most])
        self._untallied = self._untallied[most:]
        return self._tally

    def _count(self, tally: Tally, part: range) -> None:
        codes = self._codes[part.start : part.stop]
        if 0 in codes:
            others = [self._others[at] for at, code in zip(part, codes, strict=True) if not code]
            tally.count([*filter(None, codes)], others)
        else:
            tally.count(codes, ())


@attrs.frozen
class Run:
    """The part of a stream that one request applied."""

    request: int
    start: int
    count: int
    send_time: str | None = None
    first_message: int = 0


@attrs.define
class Stream:
    """All that was applied to one list, or under one trigger key."""

    column: Column = attrs.field(factory=Column)
    runs: list[Run] = attrs.field(factory=list)


@attrs.frozen
class _Kept:
    key: tuple[str, str]
    body: bytes
    good: tuple[int, ...] | None
    count: int


class Ledger:
    """Everything the sandbox remembers. Streams are keyed by ("list", id) or ("trigger", key)."""

    def __init__(self, keep_records: int | None, keep_requests: int | None) -> None:
        """Keep the bodies of the latest ``keep_records`` records and the latest requests; None keeps all."""
        self.streams: dict[tuple[str, str], Stream] = {}
        self.requests: dict[int, SeenRequest] = {}
        self.arrived = 0
        self.early = 0
        self.applied_requests = 0
        self.applied_records = 0
        self.faults: collections.Counter[Fault] = collections.Counter()
        self.latest: collections.deque[tuple[str, Mapping[str, Any]]] = collections.deque(maxlen=25)
        self._times: collections.Counter[bytes] = collections.Counter()
        self._messages = 0
        self._keep_records = keep_records
        self._keep_requests = keep_requests
        self._kept: collections.deque[_Kept] = collections.deque()
        self._kept_records = 0
        self._forgotten: set[tuple[str, str]] = set()

    def begin(self, time: float, method: str, path: str, query: Mapping[str, str]) -> SeenRequest:
        """Take down a request at its arrival."""
        self.arrived += 1
        seen = SeenRequest(self.arrived, time, method, path, query)
        self.requests[seen.number] = seen
        if self._keep_requests is not None:
            # By its number, not as the first one there: a dict looks for that among all it has forgotten.
            self.requests.pop(seen.number - self._keep_requests, None)
        return seen

    def update(self, number: int, **changes: Any) -> None:
        """Take down what has become of a request."""
        if changes.get("fault") is not None:
            self.faults[changes["fault"]] += 1
        self.early += changes.get("early_by", 0.0) > 0
        if number in self.requests:
            self.requests[number] = attrs.evolve(self.requests[number], **changes)

    def apply(
        self,
        key: tuple[str, str],
        request: int,
        texts: Sequence[str],
        records: Sequence[Mapping[str, Any]],
        *,
        body: bytes,
        good: tuple[int, ...] | None = None,
        send_time: str | None = None,
    ) -> range:
        """Take down that ``records`` were applied; return the numbers of their messages, from 1.

        ``good`` holds the positions (from 0) of ``records`` in the body, None where they are all of it.
        """
        stream = self.streams.setdefault(key, Stream())
        stream.runs.append(Run(request, len(stream.column), len(texts), send_time, self._messages + 1))
        stream.column.extend(texts)
        self.latest.extend((key[0], record) for record in records[-25:])
        self._keep(_Kept(key, body, good, len(texts)))
        self._messages += len(texts)
        self.applied_records += len(texts)
        return range(self._messages - len(texts) + 1, self._messages + 1)

    def count(self, digest: str) -> None:
        """Count one application of the body with this SHA-256."""
        self.applied_requests += 1
        self._times[bytes.fromhex(digest)] += 1

    def times(self, digest: str) -> int:
        """Return how often the body with this SHA-256 was applied."""
        return self._times[bytes.fromhex(digest)]

    def catch_up(self, most: int) -> bool:
        """Tally so many of the texts that were here before anybody asked; return whether there may be more of them."""
        return any(stream.column.catch_up(most) for stream in self.streams.values())

    def _keep(self, kept: _Kept) -> None:
        self._kept.append(kept)
        self._kept_records += kept.count
        while self._keep_records is not None and self._kept_records > self._keep_records:
            dropped = self._kept.popleft()
            self._kept_records -= dropped.count
            self._forgotten.add(dropped.key)

    def records(self, key: tuple[str, str]) -> list[dict[str, Any]]:
        """Return what was applied under ``key``, in order; raise LookupError where a part is no longer kept."""
        if key in self._forgotten:
            raise LookupError("older records were dropped: raise keep_records, or set it to None")
        found: list[dict[str, Any]] = []
        for kept in self._kept:
            if kept.key == key:
                value = parse_json(kept.body)
                records = value if isinstance(value, list) else [value]
                found.extend(records if kept.good is None else map(records.__getitem__, kept.good))
        return found

    def messages(self, name: Callable[[int], str]) -> tuple[SeenMessage, ...]:
        """Return every message of every trigger, in order of acceptance; ``name`` makes the id of a number."""
        found: list[tuple[int, SeenMessage]] = []
        for (kind, key), stream in self.streams.items():
            for run in stream.runs if kind == "trigger" else ():
                texts = stream.column.texts(run.start, run.start + run.count)
                found.extend(
                    (number, SeenMessage(name(number), text, key, run.send_time, run.request))
                    for number, text in enumerate(texts, run.first_message)
                )
        return tuple(message for _, message in sorted(found, key=operator.itemgetter(0)))
