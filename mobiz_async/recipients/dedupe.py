"""Each number once, and opted-out numbers not at all.

The numbers seen so far are kept exactly, in open-addressing tables of 64-bit integers: 16 to 32 bytes a number, against
some 60 to 90 for a Python set of integers. There are thousands of small tables instead of a big one, so that growing
one takes a few milliseconds at most and never holds the event loop for the seconds that moving ten million takes.
"""

from __future__ import annotations

import contextlib
import os
from array import array
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

from mobiz_async.errors import ConfigurationError, Reason
from mobiz_async.recipients import phones
from mobiz_async.recipients.sources import Recipients, SourceFileError, open_recipients
from mobiz_async.recipients.stages import BadRecord, Problem, Stage, Staged, only_good

__all__ = ["dedupe_stage", "load_suppression", "suppression_stage"]

_DIGITS = 18
"""Digits of a number at most that is kept as an integer: 18 always fit into 63 bits."""
_LENGTHS = frozenset(range(1, _DIGITS + 1))
_SHARDS = 4093
"""A prime, so that numbers in steps of a round figure spread as well."""
_FIRST_SLOTS = 8


class _Numbers:
    """A set of positive integers below 2^63, by open addressing with linear probing, at most half full."""

    __slots__ = ("_room", "_tables")

    def __init__(self) -> None:
        self._tables = [array("Q", bytes(8 * _FIRST_SLOTS)) for _ in range(_SHARDS)]
        self._room = [_FIRST_SLOTS // 2] * _SHARDS

    def add(self, numbers: Iterable[int]) -> list[int]:
        """Remember ``numbers``; return the places of those that were there already, from 0."""
        # Everything of the loop is in it: a call for each number would double its time.
        tables, room = self._tables, self._room
        known: list[int] = []
        for place, number in enumerate(numbers):
            shard = number % _SHARDS
            table = tables[shard]
            slot = number // _SHARDS % len(table)
            held = table[slot]
            while held:
                if held == number:
                    known.append(place)
                    break
                slot = (slot + 1) % len(table)
                held = table[slot]
            else:
                table[slot] = number
                room[shard] -= 1
                if not room[shard]:
                    self._grow(shard)
        return known

    def _grow(self, shard: int) -> None:
        old = self._tables[shard]
        size = 2 * len(old)
        table = array("Q", bytes(8 * size))
        for number in filter(None, old):
            slot = number // _SHARDS % size
            while table[slot]:
                slot = (slot + 1) % size
            table[slot] = number
        self._tables[shard] = table
        self._room[shard] = size // 2 - len(old) // 2


def dedupe_stage(field: str = "Number") -> Stage:
    """Return the stage that holds back a record whose ``field`` an earlier record had, as ``DUPLICATE``.

    It remembers every value it has seen, so each run needs its own. Values are compared as they are: it belongs behind
    the stage that normalises numbers. ``27821234567`` is the same as text and as a whole number. A value of up to 18
    digits takes 16 to 32 bytes. Any other (an e-mail address, digits with a leading zero) is kept as it is, exactly, at
    the price of a Python string: a hash would be smaller and could, once in a great while, drop somebody's message.
    Records without the field, or in which it is null or empty, pass: there is nothing to compare.
    """
    return _Dedupe(field)


class _Dedupe:
    def __init__(self, field: str) -> None:
        self._field = field
        self._column_of = itemgetter(field)
        self._numbers = _Numbers()
        self._others: set[Any] = set()

    def __call__(self, records: list[Any], rows: Sequence[int]) -> Staged:
        try:
            column = list(map(self._column_of, records))
            joined = "\n".join(column)
        except (KeyError, TypeError):
            return self._closer(records, rows)
        # Digits only, none empty or too long for an integer, none with a leading zero (007 and 7 are two values).
        digits = joined.isascii() and joined.replace("\n", "").isdecimal() and joined.count("\n") == len(column) - 1
        if not digits or not _LENGTHS.issuperset(map(len, column)) or "\n0" in joined or joined[0] == "0":
            return self._closer(records, rows)
        return self._without(records, rows, self._numbers.add(map(int, column)))

    def _without(self, records: list[Any], rows: Sequence[int], known: list[int]) -> Staged:
        if not known:
            return Staged(records, rows, [])
        problems = [Problem(rows[place], self._field, Reason.DUPLICATE, records[place]) for place in known]
        held = set(known)
        return Staged(
            [record for place, record in enumerate(records) if place not in held],
            [row for place, row in enumerate(rows) if place not in held],
            problems,
        )

    def _closer(self, records: list[Any], rows: Sequence[int]) -> Staged:
        return self._without(records, rows, [at for at, record in enumerate(records) if self._is_known(record)])

    def _is_known(self, record: dict[str, Any]) -> bool:
        value = record.get(self._field)
        if value is None or value == "":
            return False
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            value = (type(value).__name__, repr(value))  # floats, lists: whatever JSON takes, compared as it is written
        elif value.isascii() and value.isdecimal() and value[0] != "0" and len(value) <= _DIGITS:
            return bool(self._numbers.add((int(value),)))
        if value in self._others:
            return True
        self._others.add(value)
        return False


def suppression_stage(
    field: str,
    numbers: Iterable[str],
    *,
    normalize: Callable[[str], str] | None = phones.normalize,
    normalized: bool = False,
) -> Stage:
    """Return the stage that holds back records whose ``field`` is among ``numbers``, as ``SUPPRESSED``.

    ``numbers`` are brought into the API's form by ``normalize`` first (None: they are compared as they are), and so are
    the records' own, unless ``normalized`` says that they went through ``normalize_stage`` already. A text that is no
    number is compared as it is. The list is held in memory, at about 100 bytes a number.
    """
    return _Suppress(field, numbers, normalize, normalized=normalized or normalize is None)


class _Suppress:
    def __init__(
        self, field: str, numbers: Iterable[str], normalize: Callable[[str], str] | None, *, normalized: bool
    ) -> None:
        self._field = field
        self._column_of = itemgetter(field)
        self._normalize = normalize
        self._normalized = normalized
        self._suppressed = frozenset(map(self._form, numbers))

    def _form(self, value: Any) -> str:
        try:
            text = phones.to_text(value)
            return text if self._normalize is None else self._normalize(text)
        except phones.PhoneNumberError:
            return str(value).strip()

    def __call__(self, records: list[Any], rows: Sequence[int]) -> Staged:
        try:
            column = list(map(self._column_of, records))
            comparable = self._normalized or phones.is_api_column("\n".join(column))
            if comparable and self._suppressed.isdisjoint(column):
                return Staged(records, rows, [])
        except (KeyError, TypeError):
            pass  # a field is missing or not text: a closer look
        return only_good(records, rows, self._diagnose)

    def _diagnose(self, record: dict[str, Any]) -> tuple[str, Reason] | None:
        value = record.get(self._field)
        if value is None:
            return None
        if value in self._suppressed or (not self._normalized and self._form(value) in self._suppressed):
            return self._field, Reason.SUPPRESSED
        return None


def load_suppression(path: str | os.PathLike[str], column: str | None = None, *, region: str = "ZA") -> frozenset[str]:
    """Return the numbers of a suppression file, in the API's form.

    The file is anything that ``open_recipients`` reads: one number a line, with or without a heading, or a table, of
    which ``column`` names the column (``Number`` when it has that). Blank cells are left out. A text that is no number
    is kept as it is.

    Raises:
        SourceFileError: the file cannot be read, or a row of it cannot: an opt-out must not be lost unseen.
        ConfigurationError: there is no such column, or a number needs an extra that is not installed.

    """
    found: set[str] = set()
    with _open_suppression(path, column) as rows:
        for row, record in enumerate(rows, start=1):
            if isinstance(record, BadRecord):
                raise SourceFileError(os.fspath(path), record.reason, row)
            text = str(record.get("Number") or "").strip()
            if text:
                with contextlib.suppress(phones.PhoneNumberError):
                    text = phones.normalize(text, region)
                found.add(text)
    return frozenset(found)


def _open_suppression(path: str | os.PathLike[str], column: str | None) -> Recipients:
    if column is not None:
        return open_recipients(path, mapping={"Number": column})
    table = open_recipients(path)
    fields = table.fields
    if fields is None or "Number" in fields or not fields:
        return table
    table.close()
    if len(fields) > 1:
        raise ConfigurationError(f"which column holds the numbers? There are: {', '.join(fields)}")
    # One column: its first line is a heading, or the first number.
    heading = sum(map(str.isdecimal, fields[0])) < _DIGITS_OF_A_NUMBER
    return open_recipients(path, mapping={"Number": fields[0]}) if heading else open_recipients(path, header=["Number"])


_DIGITS_OF_A_NUMBER = 5
