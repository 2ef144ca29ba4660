"""Data lists and what a record must be to go into one.

The vendor's reference: a record "should include minimum a phoneNumber and the format of the phoneNumber is determined
by your definition"; formats are ``numeric``, ``text``, ``email`` and ``msisdn``. What it leaves open is decided here as
a careful server would: a field outside the definition is refused, any field but the phone number may be left out, null
or (unless it is text) empty, and a number may come as a JSON number or as text, as in the reference's own example.
"""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from mobiz_async.models import DataList

__all__ = ["DEFAULT_NUMBER_FIELD", "BadRecord", "check_records", "identity_text", "number_field"]

DEFAULT_NUMBER_FIELD = "Number"
"""The phone field of a list whose definition is not known; the one in the reference's examples."""

_NUMERIC = re.compile(r"[+-]?[0-9]+(?:[.][0-9]+)?")
# The reference's own example is "email@mobiz": no dot is asked for. RFC 5321: 64 characters before the @, 254 in all.
_EMAIL = re.compile(r"(?=.{3,254}\Z)[^@\s]{1,64}@[^@\s]+")
_MSISDN = re.compile(r"[1-9][0-9]{7,14}")  # E.164: at most 15 digits, the first of a country code is not 0
_MSISDN_LENGTHS = frozenset(range(8, 16))


@attrs.frozen
class BadRecord:
    """A record that cannot go into the list: its position, from 1, and why, without any of its content."""

    position: int
    reason: str


def number_field(data_list: DataList) -> str:
    """Return the field that holds the phone number: the first ``msisdn``, or else ``Number``, or else the first."""
    if not data_list.definition or data_list.number_field is not None:
        return data_list.number_field or DEFAULT_NUMBER_FIELD
    if DEFAULT_NUMBER_FIELD in data_list.definition:
        return DEFAULT_NUMBER_FIELD
    return next(iter(data_list.definition))


def identity_text(value: Any) -> str:
    """Return a phone number, or another field that tells records apart, as text."""
    return value if type(value) is str else "" if value is None else str(value)


def check_records(data_list: DataList, records: Sequence[Any]) -> list[BadRecord]:
    """Return the records that the list does not take; none for a good append."""
    phone = number_field(data_list)
    definition = data_list.definition or {}
    if _all_good(records, phone, definition):
        return []
    diagnosed = ((position, _diagnose(record, phone, definition)) for position, record in enumerate(records, 1))
    return [BadRecord(position, reason) for position, reason in diagnosed if reason is not None]


def _all_good(records: Sequence[Any], phone: str, definition: Mapping[str, str]) -> bool:
    """Whether whole columns pass, checked at C speed; False sends each record through ``_diagnose``."""
    if set(map(type, records)) != {dict}:
        return False
    if not definition:
        try:
            numbers = list(map(operator.itemgetter(phone), records))
        except KeyError:
            return False
        return set(map(type, numbers)) == {str} and all(map(str.strip, numbers))
    present = set(itertools.chain.from_iterable(records))
    if not present <= definition.keys():
        return False
    for field in present:
        try:
            column = list(map(operator.itemgetter(field), records))
        except KeyError:
            return False
        if set(map(type, column)) != {str}:
            return False
        if not _column_fits(definition[field], column):
            return False
    return phone in present and all(map(str.strip, map(operator.itemgetter(phone), records)))


def _column_fits(kind: str, column: list[str]) -> bool:
    full = _PATTERNS[kind]
    if full is None:
        return True
    if kind != "email" and all(column):
        joined = "".join(column)
        if joined.isascii() and joined.isdigit():  # digits only: the usual case, without a regex for each
            firsts = set(map(operator.itemgetter(0), column))
            return kind == "numeric" or ("0" not in firsts and set(map(len, column)) <= _MSISDN_LENGTHS)
    return all(map(full, column))


_PATTERNS: Mapping[str, Callable[[str], Any] | None] = {
    "numeric": _NUMERIC.fullmatch,
    "text": None,
    "email": _EMAIL.fullmatch,
    "msisdn": _MSISDN.fullmatch,
}


def _diagnose(record: Any, phone: str, definition: Mapping[str, str]) -> str | None:
    if type(record) is not dict:
        return "not an object"
    if record.get(phone) is None:
        return f"field {phone!r} is missing"
    if type(record[phone]) not in (str, int) or not str(record[phone]).strip():
        return f"field {phone!r} is not a phone number"
    for field, value in record.items() if definition else ():
        kind = definition.get(field)
        if kind is None:
            return "a field that is not in the list's definition"
        if value is None or (value == "" and kind != "text" and field != phone):
            continue
        if not _fits(kind, value):
            return f"field {field!r} is not {kind}"
    return None


def _fits(kind: str, value: Any) -> bool:
    full = _PATTERNS[kind]
    if type(value) is str:
        return full is None or full(value) is not None
    if type(value) is int:
        return kind == "numeric" or (kind == "msisdn" and _MSISDN.fullmatch(str(value)) is not None)
    return type(value) is float and kind == "numeric"
