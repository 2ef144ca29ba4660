"""Records against the definition of their list: the fields that may be there and the format of each.

The vendor's reference limits formats to ``numeric``, ``text``, ``email`` and ``msisdn`` and says that a record "should
include minimum a phoneNumber", whose "format is determined by your definition"; it does not say what each format takes.
What is let through here:

=========  ============================================================================================================
msisdn     text of 8 to 15 digits (E.164 has at most 15) that begins with the country code, without ``+``: "27821234567"
numeric    text of digits with a sign or a decimal point at most ("-12.50"), a whole number, a finite float, or a
           ``Decimal`` that is written as such a text (``Decimal("1.50")`` is, ``Decimal("1E+3")`` is not)
email      text with one ``@`` and no blanks, at most 64 characters before it and 254 in all (RFC 5321). No dot is asked
           for after it: the reference's own example is "email@mobiz"
text       text of any length; no limit is documented
=========  ============================================================================================================

The first ``msisdn`` field must be there and not be blank. All other fields may be missing, null or empty: exports have
gaps, and nothing documented forbids them. A field that the definition does not name is told as ``UNKNOWN_FIELD``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from operator import attrgetter, itemgetter
from typing import Any

import attrs
import msgspec

from mobiz_async.errors import Reason
from mobiz_async.models import check_definition, number_field_of
from mobiz_async.recipients.schema import Fitted, as_dicts
from mobiz_async.recipients.stages import Stage, Staged, only_good

__all__ = ["definition_stage"]

_MSISDN = r"[1-9][0-9]{7,14}"
_NUMERIC = r"[+-]?[0-9]++(?:\.[0-9]++)?"
_EMAIL = r"[^@\s]++@[^@\s]++"
_EMAIL_LENGTH = 254
_LOCAL_LENGTH = 64


_DIGITS = b"0123456789"

_msisdn = re.compile(_MSISDN).fullmatch
_numeric = re.compile(_NUMERIC).fullmatch
_email = re.compile(_EMAIL).fullmatch


# No group is repeated possessively: Pythons before 3.11.5 go on behind a repetition that failed in its middle, and took
# numbers of one digit here. An atomic group around a plain repetition costs the same.


def _lines_of(pattern: str) -> Callable[[str], object]:
    return re.compile(rf"(?>(?:{pattern}\n|\n)*)").fullmatch


_msisdn_lines = _lines_of(_MSISDN)
_numeric_lines = _lines_of(_NUMERIC)
_email_lines = _lines_of(_EMAIL)
# What nearly all addresses are made of, for which an expression over bytes takes a third of the time.
_COMMON_EMAIL = rb"[A-Za-z0-9.+_-]{1,%d}+@[A-Za-z0-9.+_-]{1,%d}+\n" % (_LOCAL_LENGTH, _EMAIL_LENGTH - _LOCAL_LENGTH - 1)
_common_email_lines = re.compile(rb"(?>(?:%b)*)" % _COMMON_EMAIL).fullmatch
_number_lines = re.compile(rf"(?>(?:{_MSISDN}\n)*)").fullmatch


# Each format over a whole column at C speed, for the slices that are good, as nearly all are. False, or an exception,
# only means that a closer look is due. Deleting from the joined column what may be in a value leaves the line ends, as
# many as there are values, or else something is in it that may not be: that is ten times as fast as an expression.


def _all_numbers(column: Sequence[str]) -> bool:
    joined = "\n".join(column) + "\n"
    length = len(column[0]) + 1
    if len(joined) == length * len(column) and 8 < length <= 16:  # noqa: PLR2004  # 8 to 15 digits and a line's end
        left = joined.encode().translate(None, _DIGITS)
        ends = "\n" * len(column)
        if left == ends.encode() and joined[length - 1 :: length] == ends and "0" not in joined[::length]:
            return True
    return _number_lines(joined) is not None and joined.count("\n") == len(column)


def _all_msisdns(column: Sequence[str]) -> bool:
    joined = "\n".join(column) + "\n"
    return _msisdn_lines(joined) is not None and joined.count("\n") == len(column)


def _all_numeric(column: Sequence[str]) -> bool:
    joined = "\n".join(column) + "\n"
    if joined.encode().translate(None, _DIGITS) == b"\n" * len(column):
        return True
    return _numeric_lines(joined) is not None and joined.count("\n") == len(column)


def _all_emails(column: Sequence[str]) -> bool:
    joined = "\n".join(column) + "\n"
    if joined.count("\n") != len(column):
        return False
    if _common_email_lines(joined.encode()) is not None:
        return True
    return max(map(len, column)) <= _LOCAL_LENGTH and _email_lines(joined) is not None


def _all_text(column: Sequence[str]) -> bool:
    return set(map(type, column)) == {str}


_COLUMNS: dict[str, Callable[[Sequence[Any]], bool]] = {
    "msisdn": _all_msisdns,
    "numeric": _all_numeric,
    "email": _all_emails,
    "text": _all_text,
}


def _is_numeric(value: object) -> bool:
    match value:
        case bool():
            return False
        case int():
            return True
        case float():
            return math.isfinite(value)
        case str():
            return _numeric(value) is not None
        case Decimal():  # a database's NUMERIC; it is written as text
            return _numeric(str(value)) is not None
    return False


def _is_email(value: object) -> bool:
    if not isinstance(value, str) or not _email(value):
        return False
    return len(value) <= _EMAIL_LENGTH and value.index("@") <= _LOCAL_LENGTH


_BLANKS = frozenset({type(None), msgspec.UnsetType})
_KINDS = {
    "msisdn": frozenset({str}),
    "numeric": frozenset({str, int}),
    "email": frozenset({str}),
    "text": frozenset({str}),
}
"""Kinds of value that a format takes; texts of all but ``text`` are to be looked at."""


@attrs.frozen
class _Column:
    """A field of all records of a slice: how to get at it, and the check of its texts."""

    cell_of: Callable[[Any], Any]
    check: Callable[[Sequence[Any]], bool]
    mixed: bool = False
    """Whether it may hold other than texts, which are good."""

    def all_good(self, records: list[Any]) -> bool:
        cells = list(map(self.cell_of, records))
        if self.mixed:
            cells = [cell for cell in cells if isinstance(cell, str)]  # subclasses too: they are written as texts
        return not cells or self.check(cells)


# Each format over one value that is neither null nor empty, and what is wrong with one that does not fit.
_VALUES: dict[str, tuple[Callable[[Any], bool], Reason]] = {
    "msisdn": (lambda value: isinstance(value, str) and _msisdn(value) is not None, Reason.NOT_MSISDN),
    "numeric": (_is_numeric, Reason.NOT_NUMERIC),
    "email": (_is_email, Reason.NOT_EMAIL),
    "text": (lambda value: isinstance(value, str), Reason.NOT_TEXT),
}


def definition_stage(definition: Mapping[str, str]) -> Stage:
    """Return the stage that holds back records that do not fit ``definition`` (field to format).

    Raises:
        ConfigurationError: a format is not one that the vendor's reference names.

    """
    check_definition(definition)
    return _Check(dict(definition))


class _Check:
    def __init__(self, definition: dict[str, str]) -> None:
        self._definition = definition
        self._number_field = number_field_of(definition)
        self._learnt: dict[type[Fitted], list[_Column] | None] = {}
        self._fields: tuple[str, ...] | None = None
        self._columns: list[_Column] = []

    def __call__(self, records: list[Any], rows: Sequence[int]) -> Staged:
        if records and isinstance(records[0], Fitted):
            columns = self._columns_of_fitted(type(records[0]))
            if columns is not None and self._all_good(records, columns):
                return Staged(records, rows, [])
            # The schema holds what any slice before has held; this one may be better than that.
            records = as_dicts(records)
        if not records or self._all_good(records, self._columns_of_dicts(records)):
            return Staged(records, rows, [])
        return only_good(records, rows, self._diagnose)

    def _all_good(self, records: list[Any], columns: list[_Column] | None) -> bool:
        if columns is None:
            return False
        try:
            return all(column.all_good(records) for column in columns)
        except (KeyError, TypeError, UnicodeError):
            return False

    def _columns_of_fitted(self, kind: type[Fitted]) -> list[_Column] | None:
        """Return the columns to be looked at in records fitted to ``kind``; None: each record is to be looked at."""
        if kind not in self._learnt:
            self._learnt[kind] = self._learn_fitted(kind)
        return self._learnt[kind]

    def _learn_fitted(self, kind: type[Fitted]) -> list[_Column] | None:
        if not self._definition.keys() >= kind.__kinds__.keys():
            return None
        if self._number_field is not None and kind.__kinds__.get(self._number_field) != frozenset({str}):
            return None
        columns = []
        for field, kinds in kind.__kinds__.items():
            form = self._definition[field]
            if not kinds <= _BLANKS | _KINDS[form]:
                return None
            if form != "text" and str in kinds:
                cell_of = attrgetter(kind.__attributes__[field])
                columns.append(_Column(cell_of, self._check_of(field), mixed=kinds != {str}))
        return columns

    def _check_of(self, field: str) -> Callable[[Sequence[Any]], bool]:
        return _all_numbers if field == self._number_field else _COLUMNS[self._definition[field]]

    def _columns_of_dicts(self, records: list[Any]) -> list[_Column] | None:
        """Return the columns of dicts which all have the fields of the first; None where they have not."""
        fields = tuple(records[0])
        if fields != self._fields and not self._learn_dicts(fields):
            return None
        # As many fields as the first record has, and each of its fields: the same fields in all of them.
        return self._columns if set(map(len, records)) == {len(fields)} else None

    def _learn_dicts(self, fields: tuple[str, ...]) -> bool:
        """Prepare for records of ``fields``; False where they cannot all be good."""
        if not fields or not self._definition.keys() >= set(fields):
            return False
        if self._number_field is not None and self._number_field not in fields:
            return False
        self._fields = fields
        self._columns = [_Column(itemgetter(field), self._check_of(field)) for field in fields]
        return True

    def _diagnose(self, record: Mapping[str, Any]) -> tuple[str | None, Reason] | None:
        for field in record:
            if field not in self._definition:
                return field, Reason.UNKNOWN_FIELD
        for field, kind in self._definition.items():
            value = record.get(field)
            if value is None or (isinstance(value, str) and not value):
                if field == self._number_field:
                    return field, Reason.EMPTY if field in record else Reason.MISSING
                continue
            fits, reason = _VALUES[kind]
            if not fits(value):
                return field, reason
        return None
