"""Each number once, and opted-out numbers not at all.

The numbers seen so far are kept exactly, in open-addressing tables of 64-bit integers: 16 to 32 bytes a number, against
some 60 to 90 for a Python set of integers. There are thousands of small tables instead of a big one, so that growing
one takes a few milliseconds at most and never holds the event loop for the seconds that moving ten million takes.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from io import BytesIO
from math import isnan
from numbers import Integral
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

from mobiz_async.errors import ConfigurationError, Reason
from mobiz_async.recipients import phones
from mobiz_async.recipients.columns import NO_HEADER, looks_like_data, named
from mobiz_async.recipients.keyed import is_one_record
from mobiz_async.recipients.schema import Fitted, as_dicts
from mobiz_async.recipients.sources import Recipients, SourceFileError, open_recipients
from mobiz_async.recipients.stages import BadRecord, Problem, Stage, Staged, only_good
from mobiz_async.unseen import hide, unseen

__all__ = ["check_several", "dedupe_stage", "load_suppression", "suppression_stage"]

_DIGITS = 18
"""Digits of a number at most that is kept as an integer: 18 always fit into 63 bits."""
_LENGTHS = frozenset(range(1, _DIGITS + 1))
_SHARDS = 4093
"""A prime, so that numbers in steps of a round figure spread as well."""
_FIRST_SLOTS = 8
_BITS_OF_TEXT = 10_000
"""Of a whole number. Python makes no decimal digits of one that is much longer, and JSON cannot hold it."""


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


def _whole(value: int) -> str:
    return str(value) if value.bit_length() < _BITS_OF_TEXT else hex(value)


def dedupe_stage(field: str = "Number") -> Stage:
    """Return the stage that holds back a record whose ``field`` an earlier record had, as ``DUPLICATE``.

    It remembers every value it has seen, so each run needs its own. Values are compared as they are written:
    ``0821234567``, ``+27821234567`` and ``27 82 123 4567`` are three values, unless the stage that normalises numbers
    has made one of them. ``27821234567`` is the same as text and as a whole number. A value of up to 18
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
        return self._without(records, rows, self._numbers.add(list(map(int, column))))

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
        keys = [self._key(record) for record in records]
        return self._without(records, rows, [at for at, key in enumerate(keys) if self._is_known(key)])

    def _key(self, record: dict[str, Any]) -> int | str | tuple[str, str] | None:
        """Return what is to be remembered of a record, if anything is. Code of a value's own may raise."""
        value = record.get(self._field)
        if value is None or value == "":
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            value = _whole(value)
        if not isinstance(value, str):
            return type(value).__name__, repr(value)  # floats, lists: whatever JSON takes, compared as it is written
        text = str.__str__(value)  # without what a subclass makes of it
        is_number = text.isascii() and text.isdecimal() and text[0] != "0" and len(text) <= _DIGITS
        return int(text) if is_number else text

    def _is_known(self, key: int | str | tuple[str, str] | None) -> bool:
        if key is None:
            return False
        if isinstance(key, int):
            return bool(self._numbers.add((key,)))
        if key in self._others:
            return True
        self._others.add(key)
        return False


def suppression_stage(
    field: str,
    numbers: Iterable[str | int | None],
    *,
    normalize: Callable[[str], str] | None = phones.normalize,
    normalized: bool = False,
) -> Stage:
    """Return the stage that holds back records whose ``field`` is among ``numbers``, as ``SUPPRESSED``.

    ``numbers`` are brought into the API's form by ``normalize`` first (None: they are compared as they are), and so are
    the records' own, unless ``normalized`` says that they went through ``normalize_stage`` already. A text that is no
    number (to ``normalize``: one of another country in the API's form, say, or a name) is compared exactly as it is,
    without blanks around; it is not refused, as ``load_suppression`` refuses it in a file. None and NaN, which
    databases and tables have for empty cells, are left out. The list is held in memory, at about 100 bytes a number.

    Raises ``ConfigurationError`` where ``normalize`` does for one of ``numbers``, and where one is neither text nor a
    whole number (a row of a database, say) or all of them are one text, mapping or table: nothing of the sort is like
    any number, so that everybody in it would be texted. A record for which ``normalize`` raises it is held back
    (``NEEDS_PHONES``): nobody can say whether its number is on the list.
    """
    stage = hide(partial(_Suppress, field, numbers, normalize, normalized=normalized or normalize is None))
    del numbers  # an exception carries this frame, and error trackers print its locals
    return unseen(stage)


class _Suppress:
    def __init__(
        self,
        field: str,
        numbers: Iterable[str | int | None],
        normalize: Callable[[str], str] | None,
        *,
        normalized: bool,
    ) -> None:
        self._field = field
        self._column_of = itemgetter(field)
        self._normalize = normalize
        self._normalized = normalized
        check_several(numbers)
        self._suppressed = frozenset(map(self._form, _told_apart(numbers)))

    def _form(self, value: Any) -> str:
        try:
            text = phones.text_of(value)
            return text if self._normalize is None else self._normalize(text)
        except phones.PhoneNumberError:
            return _whole(value) if isinstance(value, int) else str(value).strip()

    def __call__(self, records: list[Any], rows: Sequence[int]) -> Staged:
        try:
            column = list(map(self._cell_of(records), records))
            if self._normalize is None:
                "".join(column)  # refuses what is not text yet
            comparable = self._normalized or phones.is_api_column("\n".join(column))
            if comparable and self._suppressed.isdisjoint(column):
                return Staged(records, rows, [])
        except (KeyError, TypeError):
            pass  # a field is missing or not text: a closer look
        return only_good(as_dicts(records), rows, self._diagnose)

    def _cell_of(self, records: list[Any]) -> Callable[[Any], Any]:
        """Return what takes the number out of a record; all are dicts, or fitted to one class."""
        if records and isinstance(records[0], Fitted):
            return attrgetter(records[0].__attributes__[self._field])
        return self._column_of

    def _diagnose(self, record: dict[str, Any]) -> tuple[str, Reason] | None:
        value = record.get(self._field)
        if value is None:
            return None
        try:
            text = isinstance(value, str)
            if text and value in self._suppressed:
                return self._field, Reason.SUPPRESSED
            if not (text and self._normalized) and self._form(value) in self._suppressed:
                return self._field, Reason.SUPPRESSED
        except ConfigurationError:
            return self._field, Reason.NEEDS_PHONES
        return None


def check_several(numbers: object) -> None:
    """Raise ``ConfigurationError`` for what has characters, keys or the names of columns to iterate, and no numbers."""
    if isinstance(numbers, (str, bytes, bytearray)):  # a number, or the name of a file
        what = "is numbers, and not one text: pass several, or what load_suppression reads from a file"
    elif is_one_record(numbers):
        what = "is numbers, and not a mapping or a table: pass its keys, or one column of it"
    else:
        return
    raise ConfigurationError(what, setting="suppress")


def _told_apart(numbers: Iterable[Any]) -> Iterator[Any]:
    """Yield the numbers that are there, and raise ``ConfigurationError`` at what can be none."""
    for place, value in enumerate(numbers, start=1):
        if isinstance(value, str) or _is_whole(value):
            yield value
        elif value is not None and not (isinstance(value, float) and isnan(value)):
            what = f"is numbers, and value {place:,} is neither text nor a whole number: of rows, pass what is in them"
            raise ConfigurationError(what, setting="suppress")


def _is_whole(value: object) -> bool:
    match value:
        case bool():
            return False
        case Integral():  # those of numpy too
            return True
        case float():
            return value.is_integer()
        case Decimal():
            return value.is_finite() and value == value.to_integral_value()
    return False


def load_suppression(path: str | os.PathLike[str], column: str | None = None, *, region: str = "ZA") -> frozenset[str]:
    """Return the numbers of a suppression file, in the API's form.

    The file is anything that ``open_recipients`` reads: one number a line, with or without a heading (a first line with
    letters, fewer than five digits and no ``@``), or a table with a header, of which ``column`` names the column
    (``Number`` when it has that). Numbers are in any form that ``normalize`` reads for ``region``; those of other
    countries have a ``+``. Blank lines, empty cells and nulls are left out. Anything else must be one number: an
    opt-out must not be lost unseen, so a row with more than that, less, or something else is an error; and so is a
    workbook other than .xlsx, of which nobody can tell empty cells from those with errors.

    Raises:
        SourceFileError: the file cannot be read, or rows of it are no numbers: it names the first of them and says how
            many there are, never what they hold. ``row`` is the first; a heading and blank lines are not counted.
        ConfigurationError: there is no such column, or a number needs an extra that is not installed.

    """
    return unseen(hide(partial(_load, path, column, region)))


def _load(path: str | os.PathLike[str], column: str | None, region: str) -> frozenset[str]:
    found: set[str] = set()
    bad: list[int] = []
    why: Reason | None = None
    with _open_suppression(path, column) as rows:
        if rows.hides_errors:
            raise SourceFileError(
                os.fspath(path),
                "in this kind of workbook a cell with an error (#N/A) looks empty, and an opt-out must not be lost: "
                "save it as .xlsx or CSV",
            )
        for row, record in enumerate(rows, start=1):
            number = _opted_out(record, region)
            if isinstance(number, Reason):
                why = why or number
                bad.append(row)
            elif number is not None:
                found.add(number)
    if why is not None:
        reason = "the field of the number is missing" if why is Reason.MISSING else why
        raise SourceFileError(os.fspath(path), f"{reason}; {_told(bad)}", bad[0])
    return frozenset(found)


def _opted_out(record: dict[str, Any] | BadRecord, region: str) -> str | Reason | None:
    """Return the number of a row, None where there is none, or why it cannot be read."""
    if isinstance(record, BadRecord):
        return record.reason
    if "Number" not in record:
        return Reason.MISSING  # JSON Lines: a field by another name, perhaps
    text = str(record["Number"] if record["Number"] is not None else "").strip()
    if sum(map(str.isdecimal, text)) >= _DIGITS_OF_TWO_NUMBERS:
        return Reason.TOO_LONG  # of which some separators would have the first one read
    try:
        return phones.read(text, region) if text else None
    except phones.PhoneNumberError as error:
        return error.kind.reason


def _told(rows: Sequence[int]) -> str:
    """Return which rows of a suppression file are no numbers, for a message."""
    shown = ", ".join(f"{row:,}" for row in rows[:_ROWS_TOLD])
    more = f" and {len(rows) - _ROWS_TOLD:,} more" if len(rows) > _ROWS_TOLD else ""
    return (
        f"records without a number that can be read: {len(rows):,} ({shown}{more}; a heading and blank lines are not "
        "counted). An opt-out must not be lost: give each one number and no more, with + where it is of another country"
    )


_ROWS_TOLD = 5


def _open_suppression(path: str | os.PathLike[str], column: str | None) -> Recipients:
    if column is not None:
        try:
            return open_recipients(path, mapping={"Number": column})
        except ConfigurationError as error:  # of which nobody could tell otherwise that it is not the recipients' file
            raise ConfigurationError(f"{os.fspath(path)}: {error}") from None
    source = _readable_twice(path)
    table = open_recipients(source)
    if not table.fields or table.fields == ("Number",):
        return table
    table.close()
    fields = ("Number",) if "Number" in table.fields else table.fields  # an error in another column is no opt-out
    if len(fields) > 1:
        if looks_like_data(fields):
            raise ConfigurationError(
                f"which column of {os.fspath(path)} holds the numbers? {NO_HEADER.capitalize()}: "
                "begin it with a row of names, or leave nothing but the numbers"
            )
        raise ConfigurationError(
            f"is needed: which column of {os.fspath(path)} holds the numbers? There are: {named(fields)}",
            setting="column",
        )
    if _is_heading(fields[0]):
        return open_recipients(_from_its_beginning(source), mapping={"Number": fields[0]})
    return open_recipients(_from_its_beginning(source), header=["Number"])


def _readable_twice(path: str | os.PathLike[str]) -> str | os.PathLike[str] | BytesIO:
    """Return the path, or what it holds where that can be read only once: a pipe, ``<(zcat optouts.gz)``."""
    try:
        if not os.path.exists(path) or os.path.isfile(path) or os.path.isdir(path):  # noqa: PTH110, PTH112, PTH113  or "-"
            return path
        return BytesIO(Path(path).read_bytes())
    except OSError as error:
        raise SourceFileError(os.fspath(path), error.strerror or "it cannot be read") from None


def _from_its_beginning(source: str | os.PathLike[str] | BytesIO) -> str | os.PathLike[str] | BytesIO:
    if isinstance(source, BytesIO):
        source.seek(0)
    return source


def _is_heading(first: str) -> bool:
    """Return whether the first line of a single column is its name, and not a number, however bad."""
    digits = sum(map(str.isdecimal, first))
    return any(map(str.isalpha, first)) and digits < _DIGITS_OF_A_NUMBER and not looks_like_data([first])


_DIGITS_OF_A_NUMBER = 5
_DIGITS_OF_TWO_NUMBERS = 18
"""One has 15 at most, with 00 before it 17."""
