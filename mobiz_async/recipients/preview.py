"""A look before sending: what is good, what is not and why, what it would take and what it would cost.

Nothing is sent, nothing is kept: the records are read once, in flat memory, through the same stages as a bulk run.
Counts and places only, never a number or a text, but for the characters that make messages longer.
"""

from __future__ import annotations

import decimal
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Any

import attrs

from mobiz_async.encoding import ENCODING_ERRORS, encode
from mobiz_async.errors import ConfigurationError, Reason
from mobiz_async.models import MAX_CHUNK_BYTES, MAX_RECORDS_PER_APPEND, number_field_of
from mobiz_async.recipients import segments
from mobiz_async.recipients.intake import Intake
from mobiz_async.recipients.keyed import refuse_one_record
from mobiz_async.recipients.schema import as_dicts, value_of
from mobiz_async.recipients.stages import LARGEST_SLICE, Problem
from mobiz_async.recipients.values import refusal_of
from mobiz_async.unseen import hide, unseen

__all__ = ["BadRow", "Preview", "preview"]

_PREFIX = 7
"""Digits of a number that countries and prefixes are told by: the longest country code has three."""


@attrs.frozen
class BadRow:
    """A record that would not be sent: its row, from 1, the field (None: the record itself) and why."""

    row: int
    field: str | None
    reason: Reason


def _fixed(value: Mapping[str, int]) -> Mapping[str, int]:
    return MappingProxyType(dict(value))


@attrs.frozen(kw_only=True)
class Preview:
    """What sending would take. ``read = good + sum(held_back.values())``.

    ``requests`` and ``bytes`` are the bodies to be posted. ``messages`` are the good records with a text, ``segments``
    the SMS they make, ``encodings`` how many are GSM-7 and UCS-2, ``forced_by`` how many a character pushed into UCS-2
    (the first such character of each). ``cost`` is segments times the price, None without a price, or where no record
    has a text. ``countries`` counts good numbers by region: "ZA"; "GB (+44)", the main one, where regions share a code;
    "other" where it is not known, which without the extra ``phones`` is all but South Africa. ``prefixes`` counts them
    by the country code and two digits more. ``bad`` are the first bad rows.
    """

    read: int
    good: int
    held_back: Mapping[str, int] = attrs.field(converter=_fixed)
    requests: int
    bytes: int
    messages: int
    segments: int
    encodings: Mapping[str, int] = attrs.field(converter=_fixed)
    forced_by: Mapping[str, int] = attrs.field(converter=_fixed)
    cost: decimal.Decimal | None
    countries: Mapping[str, int] = attrs.field(converter=_fixed)
    prefixes: Mapping[str, int] = attrs.field(converter=_fixed)
    bad: tuple[BadRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON takes; ``cost`` is text, so that no cent is lost."""
        plain: dict[str, Any] = {
            field.name: dict(value) if isinstance(value := getattr(self, field.name), Mapping) else value
            for field in attrs.fields(Preview)
        }
        plain["cost"] = None if self.cost is None else str(self.cost)
        plain["bad"] = [{"row": bad.row, "field": bad.field, "reason": bad.reason.value} for bad in self.bad]
        return plain


def preview(
    records: Iterable[Any],
    *,
    definition: Mapping[str, str] | None = None,
    number_field: str | None = None,
    message_field: str = "Message",
    region: str | None = None,
    mobile_only: bool = False,
    common: Mapping[str, Any] | None = None,
    rename: Mapping[str, str] | None = None,
    suppress: Iterable[str | int | None] | None = None,
    dedupe: str | None = None,
    price_per_segment: decimal.Decimal | float | str | None = None,
    chunk_size: int = MAX_RECORDS_PER_APPEND,
    max_chunk_bytes: int = MAX_CHUNK_BYTES,
    first_bad: int = 10,
) -> Preview:
    """Read all ``records`` as a bulk run would and return what it would do with them.

    The settings that ``send_bulk`` has too mean the same, with the same defaults, and ``definition`` is that of the
    list (``DataList.definition``). ``message_field`` holds the text whose segments are counted, ``first_bad`` is how
    many bad rows are kept. ``records`` is a sync iterable. An error of the source itself (``SourceFileError``) is
    raised as it comes.

    Raises:
        ConfigurationError: ``price_per_segment`` is no amount, or a setting of the checks is wrong.
        TypeError: ``records`` is no sync iterable of records, as a data frame or an asynchronous source is none.

    """
    number_field = number_field_of(definition) or "Number" if number_field is None else number_field
    make_intake = partial(
        Intake,
        number_field=number_field,
        common=common,
        rename=rename,
        region=region,
        mobile_only=mobile_only,
        definition=definition,
        suppress=suppress,
        dedupe=dedupe,
    )
    books = _Books(number_field, message_field, chunk_size, max_chunk_bytes, first_bad)
    look = hide(partial(_look, records, make_intake, max_chunk_bytes, books, price_per_segment))
    del records, common, suppress, make_intake  # an exception carries this frame, and error trackers print its locals
    return unseen(look)


def _look(
    records: Iterable[Any],
    make_intake: Callable[[], Intake],
    max_chunk_bytes: int,
    books: _Books,
    price_per_segment: decimal.Decimal | float | str | None,
) -> Preview:
    price = _price(price_per_segment)
    refuse_one_record(records)
    if not isinstance(records, Iterable):
        raise TypeError("preview reads a sync iterable of records; of an asynchronous source make a list first")
    stage = make_intake().stage(max_chunk_bytes)
    source = iter(records)
    read = 0
    while part := list(islice(source, LARGEST_SLICE)):
        staged = stage(part, range(read + 1, read + 1 + len(part)))
        read += len(part)
        books.hold_back(staged.problems)
        books.count(staged.records, staged.rows)
    return books.close(read, price)


def _price(amount: decimal.Decimal | float | str | None) -> decimal.Decimal | None:
    if amount is None:
        return None
    try:
        price = decimal.Decimal(str(amount))
    except decimal.InvalidOperation:
        price = decimal.Decimal(-1)
    if not price.is_finite() or price < 0:
        raise ConfigurationError("is an amount of money, such as 0.25", setting="price_per_segment")
    return price


class _Books:
    def __init__(
        self, number_field: str, message_field: str, chunk_size: int, max_chunk_bytes: int, first_bad: int
    ) -> None:
        self._number_field = number_field
        self._message_field = message_field
        self._chunk_size = chunk_size
        self._max_chunk_bytes = max_chunk_bytes
        self._first_bad = first_bad
        self._held_back: Counter[str] = Counter()
        self._bad: list[BadRow] = []
        self._good = self._segments = self._messages = 0
        self._requests = self._bytes = 0
        self._in_chunk = self._chunk_bytes = 0
        self._encodings: Counter[str] = Counter()
        self._forced_by: Counter[str] = Counter()
        self._starts: Counter[str] = Counter()

    def hold_back(self, problems: Sequence[Problem]) -> None:
        for problem in problems:
            self._held_back[problem.reason.value] += 1
            if len(self._bad) < self._first_bad:
                self._bad.append(BadRow(problem.row, problem.field, problem.reason))

    def count(self, records: list[Any], rows: Sequence[int]) -> None:
        for record, row in zip(records, rows, strict=True):
            try:
                size = len(encode(record))
            except ENCODING_ERRORS:
                self.hold_back([Problem(row, *refusal_of(*as_dicts([record])))])
                continue
            if not self._fill(size + 1):
                self.hold_back([Problem(row, None, Reason.TOO_LARGE)])
                continue
            self._good += 1
            self._starts[str(value_of(record, self._number_field))[:_PREFIX]] += 1
            message = value_of(record, self._message_field)
            if isinstance(message, str) and message:
                self._count_message(message)

    def _fill(self, size: int) -> bool:
        """Put a record of ``size`` (with a comma or bracket after it) into the last chunk, or a new one."""
        if size + 1 > self._max_chunk_bytes:
            return False
        full = self._in_chunk == self._chunk_size or self._chunk_bytes + size > self._max_chunk_bytes
        if full or not self._in_chunk:
            self._requests += 1
            self._bytes += 1
            self._in_chunk, self._chunk_bytes = 0, 1
        self._in_chunk += 1
        self._chunk_bytes += size
        self._bytes += size
        return True

    def _count_message(self, message: str) -> None:
        counted = segments.count(message)
        self._messages += 1
        self._segments += counted.parts
        self._encodings[counted.encoding] += 1
        if counted.forced_by is not None:
            self._forced_by[counted.forced_by] += 1

    def close(self, read: int, price: decimal.Decimal | None) -> Preview:
        countries, prefixes = _places(self._starts)
        return Preview(
            read=read,
            good=self._good,
            held_back=_by_count(self._held_back),
            requests=self._requests,
            bytes=self._bytes,
            messages=self._messages,
            segments=self._segments,
            encodings=_by_count(self._encodings),
            forced_by=_by_count(self._forced_by),
            cost=price * self._segments if price is not None and self._messages else None,
            countries=_by_count(countries),
            prefixes=_by_count(prefixes),
            bad=tuple(self._bad),
        )


def _by_count(counter: Counter[str]) -> dict[str, int]:
    return dict(counter.most_common())


def _places(starts: Mapping[str, int]) -> tuple[Counter[str], Counter[str]]:
    """Return how many numbers there are by country, and by country code and two digits."""
    regions = _regions()
    countries: Counter[str] = Counter()
    prefixes: Counter[str] = Counter()
    for start, count in starts.items():
        code = next((start[:length] for length in (1, 2, 3) if start[:length] in regions), None)
        countries["other" if code is None else regions[code]] += count
        if code is not None:
            prefixes[start[: len(code) + 2]] += count
    return countries, prefixes


def _regions() -> dict[str, str]:
    """Return the region of each country code, with the code where it is shared."""
    try:
        from phonenumbers import COUNTRY_CODE_TO_REGION_CODE  # noqa: PLC0415  # an extra
    except ImportError:
        return {"27": "ZA"}
    regions: dict[str, str] = {}
    for code, sharing in COUNTRY_CODE_TO_REGION_CODE.items():
        main = "international" if sharing[0] == "001" else sharing[0]  # the UN's code for the world
        regions[str(code)] = main if sharing == (main,) else f"{main} (+{code})"
    return regions
